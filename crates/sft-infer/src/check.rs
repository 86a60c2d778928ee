//! `--check`: what summaries say that their notes do not support.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use sft_dataset::{SummaryRow, read_summaries};
use sft_eval::audit::{Audit, Auditor, Terms, Unsupported};

use crate::cli::Args;
use crate::error::Error;
use crate::partial::PartialFile;
use crate::run::{say, settle_on_interrupt};

#[derive(Serialize)]
struct JsonLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    unsupported: &'a [Unsupported],
    facts: usize,
    supported: usize,
}

/// Checks what the arguments name and writes where they say.
pub(crate) fn check(args: &Args) -> Result<(), Error> {
    let (rows, from_file) = rows(args)?;
    let terms = match &args.terms {
        Some(path) => Terms::with_file(path)?,
        None => Terms::built_in(),
    };
    let auditor = Auditor::new(terms);
    let file = args.output_file.as_deref();
    let file = file.map(|path| {
        PartialFile::create(path, args.inputs().iter().map(std::path::PathBuf::as_path))
    });
    let mut file = file.transpose()?;
    settle_on_interrupt(&file)?;
    let mut write = |text: &str| match &mut file {
        Some(file) => {
            file.write(format!("{text}\n").as_bytes())?;
            file.count_one();
            Ok(())
        }
        None => say(text),
    };
    let (mut facts, mut supported, mut clean) = (0, 0, 0);
    for row in &rows {
        let audit = auditor.check(&row.clinical_note, &row.model_summary);
        facts += audit.facts;
        supported += audit.supported();
        clean += usize::from(audit.unsupported.is_empty());
        write(&if args.json {
            json(row, &audit, from_file)?
        } else {
            table(row, &audit, from_file)
        })?;
    }
    if from_file && !args.json {
        let total = rows.len();
        write(&format!(
            "\n{total} summaries, {clean} without an unsupported fact; {supported} of {facts} facts supported"
        ))?;
    }
    file.map_or(Ok(()), PartialFile::complete)
}

/// The summaries to check, and whether they are a file's.
fn rows(args: &Args) -> Result<(Vec<SummaryRow>, bool), Error> {
    if let (Some(note), Some(summary)) = (&args.clinical_note, &args.summary) {
        let row = SummaryRow {
            line: 1,
            id: None,
            clinical_note: note.clone(),
            model_summary: summary.clone(),
        };
        let empty = [(note, "--clinical-note"), (summary, "--summary")];
        if let Some((_, source_name)) = empty.into_iter().find(|(text, _)| text.trim().is_empty()) {
            return Err(Error::EmptyNote { source_name });
        }
        return Ok((vec![row], false));
    }
    let Some(path) = &args.input_file else { return Err(Error::NothingToCheck) };
    let is_csv = path.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("csv"));
    if !is_csv {
        return Err(Error::NoSummaries { path: path.clone() });
    }
    let rows = read_summaries(path).map_err(Error::Csv)?;
    for row in &rows {
        warn_empty(path, row);
    }
    Ok((rows, true))
}

fn warn_empty(path: &Path, row: &SummaryRow) {
    let (path, line) = (path.display(), row.line);
    if row.model_summary.trim().is_empty() {
        tracing::warn!("{path}:{line}: the row has no summary: there is no fact to check");
    } else if row.clinical_note.is_empty() {
        tracing::warn!("{path}:{line}: the row has no note: nothing can be supported");
    }
}

fn json(row: &SummaryRow, audit: &Audit, from_file: bool) -> Result<String, Error> {
    Ok(serde_json::to_string(&JsonLine {
        line: from_file.then_some(row.line),
        id: row.id.as_deref(),
        unsupported: &audit.unsupported,
        facts: audit.facts,
        supported: audit.supported(),
    })?)
}

/// The summary with what is not supported in brackets, and a line for each of these.
fn table(row: &SummaryRow, audit: &Audit, from_file: bool) -> String {
    let mut text = match &row.id {
        _ if !from_file => String::new(),
        Some(id) => format!("line {} ({}): ", row.line, in_one_line(id)),
        None => format!("line {}: ", row.line),
    };
    let _ = writeln!(text, "{} of {} facts supported", audit.supported(), audit.facts);
    let _ = write!(text, "  {}", marked(&row.model_summary, &audit.unsupported));
    let words: Vec<String> = audit.unsupported.iter().map(|u| in_one_line(&u.text)).collect();
    let width = words.iter().map(|word| word.chars().count()).max().unwrap_or(0);
    for (i, (unsupported, words)) in audit.unsupported.iter().zip(&words).enumerate() {
        let (kind, why) = (unsupported.kind.name(), &unsupported.why);
        let _ = write!(text, "\n  {:>4} {kind:<10} {words:<width$}  {why}", i + 1);
    }
    text
}

/// `takes [5000 mg]1 of amoxicillin`
fn marked(summary: &str, unsupported: &[Unsupported]) -> String {
    let (mut text, mut at) = (String::new(), 0);
    for (i, Unsupported { start, end, .. }) in unsupported.iter().enumerate() {
        if *start >= at {
            text += &in_one_line(&summary[at..*start]);
            let _ = write!(text, "[{}]", in_one_line(&summary[*start..*end]));
            at = *end;
        } else {
            text.push(','); // two facts in one word
        }
        text += &(i + 1).to_string();
    }
    text + &in_one_line(&summary[at..])
}

/// Control characters would move the cursor.
fn in_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
