#![allow(clippy::unwrap_used)]

use super::*;

fn read(name: &str, bytes: &[u8]) -> Result<Notes, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Notes::from_file(&path)
}

fn places(notes: &Notes) -> Vec<(usize, u64, Option<&str>, &str)> {
    notes.notes.iter().map(|n| (n.row, n.line, n.id.as_deref(), n.text.as_str())).collect()
}

#[test]
fn a_text_file_has_a_note_a_line() {
    let notes = read("n.txt", "\u{feff}fever\r\n\r\n  \n cough, \"dry\"\nØdem".as_bytes()).unwrap();
    assert_eq!(
        places(&notes),
        [(0, 1, None, "fever"), (3, 4, None, "cough, \"dry\""), (4, 5, None, "Ødem")]
    );
    assert_eq!(notes.rows, Some(5));
    // a line break at the end begins no row
    assert_eq!(read("N.TXT", b"fever\n\n").unwrap().rows, Some(2));
}

#[test]
fn a_csv_file_has_a_column() {
    let file = "\u{feff}extra,clinical_note , id\r\n,\"two\r\nlines, one \"\"note\"\"\",a\r\n\r\n,  ,b\r\nx,Ødem,c\r\n";
    let notes = read("n.csv", file.as_bytes()).unwrap();
    assert_eq!(
        places(&notes),
        [(0, 2, Some("a"), "two\r\nlines, one \"note\""), (2, 6, Some("c"), "Ødem")]
    );
    assert_eq!(notes.rows, Some(3));
    let notes = read("n.csv", b"clinical_note\nfever\n\n\ncough\n").unwrap();
    assert_eq!(places(&notes), [(0, 2, None, "fever"), (1, 5, None, "cough")]);
}

#[test]
fn errors_name_file_line_and_remedy() {
    let message = |name, bytes: &[u8]| read(name, bytes).unwrap_err().one_line();
    for (name, bytes, parts) in [
        ("n.txt", &b"ok\nbad \xff\n"[..], ["n.txt:2", "UTF-8"]),
        ("n.csv", b"clinical_note\r\nok\r\nbad \xff\r\n", ["n.csv, line 3", "UTF-8"]),
        ("n.csv", b"id,clinical_note\r\n1,ok\r\n2\r\n", ["n.csv, line 3", "fields"]),
        ("n.csv", b"id,note\n1,ok\n", ["n.csv", "`note`"]),
        ("n.csv", b"id;clinical_note\n1;ok\n", ["n.csv", "comma"]),
        ("n.csv", b"", ["n.csv", "no content"]),
        ("n.csv", b"clinical_note\n", ["n.csv", "no rows"]),
        ("n.txt", b"\n \n", ["no note", "a note a line"]),
        ("n.txt", b"", ["no note", "a note a line"]),
        ("n.docx", b"x", [".txt", ".csv"]),
    ] {
        let message = message(name, bytes);
        for part in parts {
            assert!(message.contains(part), "`{part}` is missing in: {message}");
        }
        assert!(!message.contains('\n'));
    }
    let missing = Notes::from_file(Path::new("no/such/file.txt")).unwrap_err();
    assert!(missing.one_line().contains("--input-file"));
    assert_eq!(missing.exit_code(), 1);
}

#[test]
fn a_single_note_keeps_its_text() {
    let notes = Notes::single(" two\nlines ", "x").unwrap();
    assert_eq!(places(&notes), [(0, 1, None, " two\nlines ")]);
    assert_eq!(notes.rows, None);
    assert!(Notes::single(" \n", "x").is_err());
}
