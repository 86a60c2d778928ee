//! README and guide against this program.

#[path = "../../../tests/common/documents.rs"]
mod documents;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sft-train");

#[test]
fn the_guide_has_every_flag_and_its_default() {
    documents::check_flags("sft-train", PROGRAM);
}

#[test]
fn the_commands_of_the_documents_are_understood() {
    documents::check_commands("sft-train", PROGRAM);
}
