//! The sidecar file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{NoteFindings, tokens};
use crate::EvalError;

/// Reads a findings sidecar: one JSON object a line, blank lines skipped.
///
/// # Errors
/// [`EvalError::ReadFindings`]; with the line, [`EvalError::FindingsLine`] for one that is not a
/// [`NoteFindings`], and [`EvalError::Findings`] for an id that comes twice or a name or detail
/// without a word.
pub fn read_jsonl(path: &Path) -> Result<Vec<NoteFindings>, EvalError> {
    let text = fs::read_to_string(path)
        .map_err(|source| EvalError::ReadFindings { path: path.to_owned(), source })?;
    let (mut notes, mut ids) = (Vec::new(), BTreeSet::new());
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let note: NoteFindings = serde_json::from_str(text)
            .map_err(|source| EvalError::FindingsLine { path: path.to_owned(), line, source })?;
        let problem = problem(&note).or_else(|| {
            (!ids.insert(note.id.clone()))
                .then(|| format!("the id `{}` came before: give each note one line", note.id))
        });
        if let Some(problem) = problem {
            return Err(EvalError::Findings { path: path.to_owned(), line, problem });
        }
        notes.push(note);
    }
    Ok(notes)
}

fn problem(note: &NoteFindings) -> Option<String> {
    note.findings.iter().find_map(|finding| {
        let names = std::iter::once(&finding.term).chain(&finding.aliases);
        if names.clone().any(|name| tokens::name(name).is_empty()) {
            return Some(format!("`{}` has a name without a word: write one", finding.term));
        }
        let wordless = |detail: &&String| tokens::tokens(detail).is_empty();
        let detail = finding.details.iter().find(wordless)?;
        Some(format!("`{}` has the empty detail `{detail}`: remove it", finding.term))
    })
}
