//! The header: which columns are there, and what to rename if one is not.

use crate::DatasetError;
use crate::shown;
use csv::StringRecord;
use std::path::Path;

pub(super) fn check_columns(
    path: &Path,
    header: &StringRecord,
    needed: &[&str],
    known: &[&str],
) -> Result<(), DatasetError> {
    let missing: Vec<&str> =
        needed.iter().copied().filter(|name| !header.iter().any(|h| h == *name)).collect();
    if !missing.is_empty() {
        return Err(DatasetError::MissingColumns {
            path: path.into(),
            remedy: remedy(header, &missing),
            missing: missing.into_iter().map(str::to_owned).collect(),
            found: header.iter().map(str::to_owned).collect(),
        });
    }
    match known.iter().find(|name| header.iter().filter(|h| h == *name).count() > 1) {
        Some(column) => {
            Err(DatasetError::DuplicateColumn { path: path.into(), column: (*column).to_owned() })
        }
        None => Ok(()),
    }
}

fn remedy(header: &StringRecord, missing: &[&str]) -> String {
    if header.len() == 1 {
        for (sign, name) in [(';', "semicolons"), ('\t', "tabs"), ('|', "vertical bars")] {
            if header[0].contains(sign) {
                return format!("the file seems to be separated by {name}: save it with commas");
            }
        }
    }
    let rename = |name: &str| match look_alike(header, name) {
        Some(found) => format!("rename `{found}` to `{name}`"),
        None => format!("rename the column that holds it to `{name}`"),
    };
    missing.iter().map(|name| rename(name)).collect::<Vec<_>>().join(", ")
}

/// A column that differs only in case, or that has the name's last word: `Note` for `clinical_note`.
fn look_alike<'a>(header: &'a StringRecord, name: &str) -> Option<&'a str> {
    let word = name.rsplit('_').next().unwrap_or(name);
    let similar = |wanted: &str| {
        header.iter().find(|h| h.to_lowercase().contains(wanted) && shown::is_column(h))
    };
    similar(name).or_else(|| similar(word))
}
