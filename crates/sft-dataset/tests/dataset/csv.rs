//! CSV files as people have them, and as they should not have them.

use proptest::prelude::*;
use sft_dataset::{CsvReport, Dataset, DatasetError, Dropped, DuplicateId, read_notes};
use std::path::PathBuf;

struct File(tempfile::TempDir);

fn file(content: impl AsRef<[u8]>) -> File {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rows.csv"), content).unwrap();
    File(dir)
}

impl File {
    fn path(&self) -> PathBuf {
        self.0.path().join("rows.csv")
    }

    fn read(&self) -> Dataset {
        Dataset::read_csv(&self.path()).unwrap()
    }

    /// The error, whose message must name the file.
    fn error(&self) -> DatasetError {
        let error = Dataset::read_csv(&self.path()).unwrap_err();
        assert!(error.to_string().contains("rows.csv"), "{error}");
        error
    }
}

#[test]
fn columns_in_any_order_with_others_between() {
    let data = file(
        "\u{FEFF}extra, label ,model_summary,id,\"clinical_note\",hallucination_type,more\r\n\
         1, FACTUAL ,\" Sum, \"\"quoted\"\" \",a1,\"Line one\r\nline two — µ中\",,x\r\n\
         \r\n\
         2,Hallucinated,S2,, N2 ,\" dose \",y\r\n",
    )
    .read();
    let [first, second] = &data.records[..] else { panic!("{:?}", data.records) };
    assert_eq!(first.line, 2);
    assert_eq!(first.id, "a1");
    assert_eq!(first.clinical_note, "Line one\r\nline two — µ中");
    assert_eq!(first.model_summary, "Sum, \"quoted\"");
    assert_eq!(first.label, "factual");
    assert_eq!(first.hallucination_type, "");
    // The note has a line feed, and a blank line follows: the second row starts on line 5.
    assert_eq!((second.line, second.id.as_str()), (5, "5"));
    assert_eq!(
        (second.label.as_str(), second.hallucination_type.as_str()),
        ("hallucinated", "dose")
    );
    assert_eq!(data.factual().count(), 1);
    assert_eq!(data.factual_records().unwrap(), std::slice::from_ref(first));
}

#[test]
fn three_columns_are_enough() {
    let data = file("label,clinical_note,model_summary\nfactual,N,S").read();
    assert_eq!((data.records[0].id.as_str(), data.records[0].line), ("2", 2));
}

#[test]
fn line_numbers_are_those_of_an_editor() {
    for end in ["\n", "\r\n"] {
        let text = [
            "clinical_note,model_summary,label", // 1
            "n,s,factual",                       // 2
            "\"two",                             // 3
            "",                                  // 4
            "lines\",s,factual",                 // 5
            "",                                  // 6
            "",                                  // 7
            "n,\"a \"\"quote\"\"",               // 8
            "\",factual",                        // 9
            "n,s,factual",                       // 10
        ]
        .join(end);
        let lines: Vec<u64> = file(text).read().records.iter().map(|r| r.line).collect();
        assert_eq!(lines, [2, 3, 8, 10], "{end:?}");
    }
}

#[test]
fn labels_are_folded_counted_and_reported() {
    let data = file(
        "id,clinical_note,model_summary,label\n1,n,s,factual\n2,n2,s, Factual\n3,n3,s,ÄHNLICH\n\
         4,n4,s,\n5,n5,s,FACTUAL \n",
    )
    .read();
    let labels: Vec<(&str, usize)> =
        data.report.labels.iter().map(|(label, &count)| (label.as_str(), count)).collect();
    assert_eq!(labels, [("", 1), ("factual", 3), ("ähnlich", 1)]);
    assert_eq!(data.factual().count(), 3);
    let lines = data.report.lines();
    assert!(lines[0].starts_with("5 rows; labels: (empty) 1, factual 3, other texts 1 (of 7 ch"));
    assert_eq!(lines.len(), 1);
}

#[test]
fn empty_rows_are_dropped_and_duplicates_kept_and_both_reported() {
    let data = file(
        "id,clinical_note,model_summary,label\na,n,s,factual\nb, ,s,factual\nc,n,\"\n\",factual\n\
         d,,,factual\na, n ,s,factual\ne,n,other,factual\n",
    )
    .read();
    assert_eq!(data.records.len(), 3);
    let dropped = |line, id: &str, empty_note, empty_summary| Dropped {
        line,
        id: id.to_owned(),
        empty_note,
        empty_summary,
    };
    assert_eq!(
        data.report,
        CsvReport {
            rows: 6,
            labels: [("factual".to_owned(), 6)].into(),
            dropped: vec![
                dropped(3, "b", true, false),
                dropped(4, "c", false, true),
                dropped(6, "d", true, true)
            ],
            duplicate_ids: vec![DuplicateId { id: "a".to_owned(), lines: vec![2, 7] }],
            duplicate_pairs: vec![vec![2, 7]],
        }
    );
    assert_eq!(
        data.report.lines(),
        [
            "6 rows; labels: factual 6",
            "dropped 3: line 3 (id b, empty note), line 4 (id c, empty summary), \
             line 6 (id d, empty note and summary)",
            "duplicate ids, kept: a (lines 2, 7)",
            "equal note and summary, kept: lines 2, 7",
        ]
    );
}

#[test]
fn long_lists_are_cut_in_print_only() {
    let rows = "n,,factual\n".repeat(12);
    let data = file(format!("clinical_note,model_summary,label\n{rows}n,s,factual\n")).read();
    assert_eq!(data.report.dropped.len(), 12);
    assert!(data.report.lines()[1].ends_with("line 11 (id 11, empty summary) and 2 more"));
}

#[test]
fn only_the_whole_word_factual_trains() {
    let rows = "clinical_note,model_summary,label\na,b,non-factual\nc,d,factual-ish\ne,f,Factual\n";
    let file = file(rows);
    let data = Dataset::read_csv(&file.path()).unwrap();
    let notes: Vec<_> = data.factual().map(|record| record.clinical_note.as_str()).collect();
    assert_eq!(notes, ["e"]);
}

#[test]
fn no_factual_row_is_an_error_with_the_labels_seen() {
    let data =
        file("clinical_note,model_summary,label\nn,s,correct\nn2,s,Wrong\nn3,s,wrong\n").read();
    let error = data.factual_records().unwrap_err();
    assert!(matches!(&error, DatasetError::NoFactualRows { labels, .. } if labels.len() == 2));
    assert!(error.to_string().contains("correct 1, wrong 2"), "{error}");
}

#[test]
fn a_factual_row_without_text_is_not_a_matter_of_labels() {
    let data = file("clinical_note,model_summary,label\n ,s,factual\nn,s,other\n").read();
    let error = data.factual_records().unwrap_err();
    assert!(matches!(error, DatasetError::OnlyEmptyRows { rows: 1, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("rows.csv") && text.contains("clinical_note"), "{text}");
    assert!(!text.contains("correct the label"), "{text}");
}

#[test]
fn an_unclosed_quote_is_an_error_where_its_field_starts() {
    let head = "clinical_note,model_summary,label\n\"a\nb\",s,factual\n";
    for rows in [
        "\"n,s,factual\nn2,s2,factual\nn3,s3,factual\n",
        "\"n,s,factual",
        "\"",
        "n,\"s \\\"\",factual\nn2,s2,factual\n",
    ] {
        let error = file(format!("{head}{rows}")).error();
        assert!(matches!(error, DatasetError::UnclosedQuote { line: 4, .. }), "{rows:?}: {error}");
        let text = error.to_string();
        assert!(text.contains("line 4") && text.contains("double the quotes"), "{text}");
    }
    let error = file("\"clinical_note,model_summary,label\nn,s,factual\n").error();
    assert!(matches!(error, DatasetError::UnclosedQuote { line: 1, .. }), "{error}");
    let error = read_notes(&file("clinical_note\nn\n\"n2\nn3\n").path()).unwrap_err();
    assert!(matches!(error, DatasetError::UnclosedQuote { line: 3, .. }), "{error}");
}

#[test]
fn a_quote_that_is_not_doubled_is_an_error() {
    let head = "clinical_note,model_summary,label\n";
    for (rows, at) in [
        ("\"said \\\"no\\\" to it\",s,factual\n", (2, 2)),
        ("\"two\nlines, 5\" tall\",s,factual\n", (3, 2)),
        ("n,s,factual\n\"n,s,factual\n\"n3\",s,factual\n", (4, 3)),
    ] {
        let error = file(format!("{head}{rows}")).error();
        let DatasetError::BareQuote { line, start, .. } = error else {
            panic!("{rows:?}: {error}")
        };
        assert_eq!((line, start), at);
        assert!(error.to_string().contains("double the quotes"), "{error}");
    }
    // Spaces behind the quote, quotes inside a plain field and a backslash at the end are text.
    let data = file(format!("{head}\"a\" ,5\" tall,\"factual\"\t\r\n\"b\\\",s,factual")).read();
    let notes: Vec<&str> = data.records.iter().map(|r| r.clinical_note.as_str()).collect();
    assert_eq!(notes, ["a", "b\\"]);
    assert_eq!(data.records[0].model_summary, "5\" tall");
}

#[test]
fn a_file_without_a_header_does_not_print_its_notes() {
    let note = "Pátient Jane Doe was admitted with fever, cough and a rash, and sent home";
    let message = file(format!("1,\"{note}\",s,factual\n")).error().to_string();
    assert!(message.contains("(a text of 73 characters)"), "{message}");
    assert!(!message.contains("Jane") && !message.contains("fever"), "{message}");
    let wide = file(format!("my clinical_note {note},{}\n", "x,".repeat(20))).error().to_string();
    assert!(wide.contains("and 14 more") && !wide.contains("fever"), "{wide}");
}

#[test]
fn a_missing_column_names_what_to_rename() {
    let message = |content: &str| {
        let error = file(content).error();
        assert!(matches!(error, DatasetError::MissingColumns { .. }), "{error}");
        error.to_string()
    };
    let text = message("id,Note,Clinical_Summary,label\n1,n,s,factual\n");
    assert!(text.contains("no column `clinical_note`, `model_summary`"), "{text}");
    assert!(text.contains("`id`, `Note`, `Clinical_Summary`, `label`"), "{text}");
    assert!(text.contains("rename `Note` to `clinical_note`"), "{text}");
    assert!(text.contains("rename `Clinical_Summary` to `model_summary`"), "{text}");
    let text = message("clinical_note,model_summary,verdict\nn,s,factual\n");
    assert!(text.contains("rename the column that holds it to `label`"), "{text}");
    for (sign, name) in [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")] {
        let text = message(&["id", "clinical_note", "model_summary", "label\n1"].join(sign));
        assert!(text.contains(&format!("separated by {name}")), "{text}");
    }
    let text = message("\"clinical_note\";\"model_summary\";\"label\"\n\"n\";\"s\";\"factual\"\n");
    assert!(text.contains("separated by semicolons"), "{text}");
}

#[test]
fn a_column_named_twice_is_an_error() {
    let error = file("label,clinical_note,model_summary,label\nfactual,n,s,x\n").error();
    assert!(matches!(&error, DatasetError::DuplicateColumn { column, .. } if column == "label"));
    // Columns that are not read may repeat.
    file("x,label,clinical_note,model_summary,x\n1,factual,n,s,2\n").read();
}

#[test]
fn a_row_of_another_length_names_its_line() {
    let head = "clinical_note,model_summary,label\n\"a\nb\",s,factual\n";
    for (row, fields) in [("n,s\n", 2), ("n,s, with a comma,factual\n", 4)] {
        let error = file(format!("{head}{row}")).error();
        assert!(
            matches!(error, DatasetError::RowLength { line: 4, expected: 3, found, .. } if found == fields),
            "{error}"
        );
        assert!(
            error.to_string().contains("line 4") && error.to_string().contains("quote"),
            "{error}"
        );
    }
}

#[test]
fn bad_utf8_names_line_and_column() {
    let mut bytes =
        b"\xEF\xBB\xBFclinical_note,model_summary,label\r\nn,s,factual\r\nn,\"one\r\ncaf".to_vec();
    bytes.extend(b"\xE9\",factual\r\n");
    let error = file(&bytes).error();
    assert!(
        matches!(&error, DatasetError::BadUtf8 { line: 4, column, .. } if column == "model_summary"),
        "{error}"
    );
    assert!(error.to_string().contains("iconv"), "{error}");
    let error = file(b"clinical_note,caf\xE9,label\n").error();
    assert!(matches!(&error, DatasetError::BadUtf8 { line: 1, .. }), "{error}");
}

#[test]
fn other_formats_are_recognised() {
    let text = "clinical_note,model_summary,label\nn,s,factual\n";
    let utf16 =
        |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let (little, big) = (utf16(u16::to_le_bytes), utf16(u16::to_be_bytes));
    for (bytes, format) in [
        ([b"\xFF\xFE".as_slice(), &little].concat(), "UTF-16"),
        ([b"\xFE\xFF".as_slice(), &big].concat(), "UTF-16"),
        (little, "UTF-16"),
        (big, "UTF-16"),
        (b"PK\x03\x04\x14\x00\x06\x00rest".to_vec(), "workbook"),
        (b"\x7FELF\x02\x01\x01\x00\x00\x00\x00some, text".to_vec(), "binary"),
    ] {
        let error = file(bytes).error();
        assert!(matches!(error, DatasetError::NotText { .. }), "{error}");
        assert!(error.to_string().contains(format), "{error}");
    }
}

#[test]
fn a_nul_in_a_cell_is_text() {
    let data =
        file("id,clinical_note,model_summary,label\n1,a\0b,\0s,factual\n2,n,s,factual\n").read();
    assert_eq!(data.records[0].clinical_note, "a\0b");
    assert_eq!(data.records[0].model_summary, "\0s");
    let rows = read_notes(&file("clinical_note\na\0b\n").path()).unwrap();
    assert_eq!(rows[0].clinical_note, "a\0b");
    let header = file("id,clinical_note,model_summary,label\0\n1,a,s,factual\n").error();
    assert!(header.to_string().contains("binary"), "{header}");
}

#[test]
fn shifted_columns_and_missing_headers_show_no_cells() {
    let note = "Seen with Zebrafinch for days.";
    for rows in [
        // No header: the first row is taken for one.
        format!("1,{note},Zebrafinch it is.,factual\n"),
        "1,\"Note: Zebrafinch\",Label Zebrafinch 3,factual\n".to_owned(),
        // A note for a label.
        format!("id,label,model_summary,clinical_note\n1,{note},s,factual\n"),
    ] {
        let error = match Dataset::read_csv(&file(&rows).path()) {
            Ok(data) => data.factual_records().unwrap_err(),
            Err(error) => error,
        };
        assert!(!error.to_string().contains("Zebrafinch"), "{error}");
        assert!(error.to_string().contains("characters"), "{error}");
    }
    // A note for an id, in rows that are dropped or that are there twice.
    let rows = format!(
        "clinical_note,id,model_summary,label\n,{note},s,factual\nn,{note},s,factual\nm,{note},s,factual\n"
    );
    let lines = file(rows).read().report.lines().join("; ");
    assert!(lines.contains("duplicate ids") && lines.contains("dropped 1"), "{lines}");
    assert!(!lines.contains("Zebrafinch"), "{lines}");
}

#[test]
fn files_without_rows_or_at_all() {
    for empty in ["", "\u{FEFF}", "\n\r\n"] {
        assert!(matches!(file(empty).error(), DatasetError::EmptyCsv { header: false, .. }));
    }
    let header = "id,clinical_note,model_summary,label\r\n";
    assert!(matches!(file(header).error(), DatasetError::EmptyCsv { header: true, .. }));
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("rows.csv")] {
        let error = Dataset::read_csv(&path).unwrap_err();
        assert!(matches!(error, DatasetError::Read { .. }));
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn notes_alone_can_be_read() {
    let notes = file("id,clinical_note\n1,\" a\nb \"\n2,\n3,c\n");
    let rows = read_notes(&notes.path()).unwrap();
    let rows: Vec<_> =
        rows.iter().map(|r| (r.line, r.id.as_deref(), r.clinical_note.as_str())).collect();
    assert_eq!(rows, [(2, Some("1"), "a\nb"), (4, Some("2"), ""), (5, Some("3"), "c")]);
    let error = read_notes(&file("id,text\n1,a\n").path()).unwrap_err();
    assert!(error.to_string().contains("to `clinical_note`"), "{error}");
}

proptest! {
    #[test]
    fn any_text_survives(
        rows in prop::collection::vec(
            ("(\\PC|[\"\r\n,;\t])*", "(\\PC|[\"\r\n,])*", any::<bool>()), 1..8),
        crlf: bool,
    ) {
        let mut writer = csv::WriterBuilder::new()
            .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
            .from_writer(Vec::new());
        writer.write_record(["label", "model_summary", "clinical_note"]).unwrap();
        for (note, summary, factual) in &rows {
            let label = if *factual { "factual" } else { "hallucinated" };
            writer.write_record([label, summary, note]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let data = file(&bytes).read();

        let kept: Vec<(&str, &str)> = rows
            .iter()
            .map(|(note, summary, _)| (note.trim(), summary.trim()))
            .filter(|(note, summary)| !note.is_empty() && !summary.is_empty())
            .collect();
        let read: Vec<(&str, &str)> = data
            .records
            .iter()
            .map(|r| (r.clinical_note.as_str(), r.model_summary.as_str()))
            .collect();
        prop_assert_eq!(read, kept);
        prop_assert_eq!(data.report.rows, rows.len());
        prop_assert_eq!(data.records.len() + data.report.dropped.len(), rows.len());
        // Each row starts on the line it says: the line begins with the row's label.
        let lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
        for record in &data.records {
            prop_assert!(lines[record.line as usize - 1].starts_with(record.label.as_bytes()));
        }
    }
}
