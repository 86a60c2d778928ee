//! Templates: the placeholder, files, and bytes that stay.

use sft_dataset::{DatasetError, PromptTemplate};

#[test]
fn the_default_is_the_documented_one() {
    let template = PromptTemplate::default();
    assert_eq!(template.text(), "### Clinical note:\n{clinical_note}\n\n### Summary:\n");
    assert_eq!(template, PromptTemplate::new(template.text()).unwrap());
    assert_eq!(template.render("N"), "### Clinical note:\nN\n\n### Summary:\n");
}

#[test]
fn the_placeholder_is_needed_exactly_once() {
    for (text, times) in [("no place", 0), ("", 0), ("{clinical_note}{clinical_note}", 2)] {
        match PromptTemplate::new(text) {
            Err(DatasetError::Placeholder { count }) => assert_eq!(count, times),
            other => panic!("{other:?}"),
        }
    }
    let message = PromptTemplate::from_arg("templates/missing.txt").unwrap_err().to_string();
    assert!(message.contains("{clinical_note} 0 times"), "{message}");
    assert!(message.contains("must exist"), "{message}");
}

#[test]
fn a_note_that_names_the_placeholder_is_a_note() {
    let template = PromptTemplate::new("A {clinical_note} B").unwrap();
    assert_eq!(template.render("{clinical_note}{x}"), "A {clinical_note}{x} B");
}

#[test]
fn a_file_is_used_byte_for_byte_and_a_string_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("template.txt");
    let text = "  Note:\r\n{clinical_note}\n\nZusammenfassung für µ:\n\n";
    std::fs::write(&path, text).unwrap();
    assert_eq!(PromptTemplate::from_arg(path.to_str().unwrap()).unwrap().text(), text);
    assert_eq!(PromptTemplate::from_arg(text).unwrap().text(), text);
}

#[test]
fn unreadable_template_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let named = |path: &std::path::Path| {
        let error = PromptTemplate::from_arg(path.to_str().unwrap()).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        error
    };
    assert!(matches!(named(dir.path()), DatasetError::Read { .. }));
    let path = dir.path().join("latin1.txt");
    std::fs::write(&path, b"caf\xE9 {clinical_note}\n").unwrap();
    assert!(matches!(named(&path), DatasetError::TemplateUtf8 { .. }));
}
