//! `--self_test`: a line for each check, an exit status, and no file.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Fixture, tree};

const CHECKS: [&str; 9] = [
    "exactly one BOS (id ",
    "exactly one EOS, and it is trained (id ",
    "the prompt of training is that of inference (",
    "a fresh adapter leaves the logits equal (",
    "every adapter receives a gradient (",
    "two steps lower the loss of one row (",
    "the model computes what an f64 reference does (blocks 0 and ",
    "gradients agree with finite differences in f64 (",
    "merged equals unmerged (",
];

fn assert_passed(stdout: &str) {
    let lines: Vec<&str> = stdout.lines().collect();
    let [checks @ .., last] = &lines[..] else { panic!("{stdout}") };
    assert_eq!(checks.len(), CHECKS.len(), "{stdout}");
    for (line, check) in checks.iter().zip(CHECKS) {
        let check = format!("ok   {check}");
        assert!(line.starts_with(&check) && line.ends_with(')'), "{line}");
    }
    assert!(last.starts_with("self test passed: 9 checks in "), "{last}");
}

#[cfg(feature = "embedded")]
#[test]
fn the_embedded_base_passes() {
    let fixture = Fixture::new();
    let ended = fixture.run(&["--self_test"]).ok();
    assert_passed(&ended.stdout);
    assert!(!fixture.path("models").exists());
}

#[test]
fn it_writes_nothing_and_goes_with_every_flag() {
    let fixture = Fixture::new();
    fixture.train(&["--max_steps=1", "--output_dir=first"]).ok();
    let before = tree(&fixture.path(""));
    let many = ["--output_dir=first", "--lora_r=4", "--lora_alpha=20", "--gradient_checkpointing"];
    let again = ["--init_adapter=first/final_model", "--lora_dropout=0.5", "--max_length=90"];
    let finished = ["--resume=auto", "--output_dir=first"];
    for args in [&[][..], &many, &again, &finished, &["--resume=auto", "--output_dir=other"]] {
        let ended = fixture.train(&[args, &["--self_test"]].concat()).ok();
        assert_passed(&ended.stdout);
        assert!(!ended.stdout.contains("cough"), "no text of a note");
        assert_eq!(tree(&fixture.path("")), before, "{args:?}");
    }
    // A dry run shows the run, too.
    let ended = fixture.train(&["--self_test", "--dry_run"]).ok();
    let (dry, checks) = ended.stdout.split_at(ended.stdout.find("ok   ").unwrap());
    assert!(dry.starts_with("settings:") && dry.contains('⟦'), "{dry}");
    assert_passed(checks);
    assert_eq!(tree(&fixture.path("")), before);
}

#[test]
fn a_failed_check_is_named_and_fails_the_program() {
    let fixture = Fixture::new();
    let args = ["--self_test", "--learning_rate=3", "--prompt_template=<s><s>{clinical_note}\n"];
    let ended = fixture.train(&args);
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let failed: Vec<&str> = ended.stdout.lines().filter(|line| line.starts_with("FAIL ")).collect();
    assert_eq!(failed.len(), 2, "{}", ended.stdout);
    assert!(failed[0].contains("has 2 BOS (id 257)"), "{}", failed[0]);
    assert!(failed[1].contains("lower --learning_rate"), "{}", failed[1]);
    assert_eq!(
        ended.error_line(),
        "error: the self test failed: exactly one BOS; two steps lower the loss of one row; do not train before this is \
         mended"
    );
    assert!(!fixture.path("models").exists());
}

/// It belongs to one invocation.
#[test]
fn a_configuration_file_cannot_ask_for_it() {
    let fixture = Fixture::new();
    fixture.write("run.toml", "self_test = true\n");
    let ended = fixture.train(&["--config=run.toml"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.error_line().contains("unknown key `self_test`"), "{}", ended.error_line());
}
