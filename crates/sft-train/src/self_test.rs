//! `--self_test`: a line for each check.

use std::time::Instant;

use sft_self_test::{CheckResult, Subject, Text, check_model, check_text};

use crate::console;
use crate::error::CliError;

/// Makes every check and says how it came out, on standard output.
///
/// # Errors
/// [`CliError::SelfTest`] with the checks that failed.
pub(crate) fn run(text: &Text<'_>, subject: Subject<'_>) -> Result<(), CliError> {
    let started = Instant::now();
    let mut lost = None;
    let mut show = |result: &CheckResult| lost = console::print(result).err().or(lost.take());
    let mut results = check_text(text, &mut show)?;
    results.extend(check_model(subject, &mut show)?);
    if let Some(error) = lost {
        return Err(CliError::Stdout(error));
    }
    let failed = results.iter().filter(|result| !result.passed);
    let checks: Vec<String> = failed.map(|result| result.check.to_string()).collect();
    if !checks.is_empty() {
        return Err(CliError::SelfTest { checks });
    }
    let seconds = started.elapsed().as_secs_f64();
    console::print(format_args!("self test passed: {} checks in {seconds:.1} s", results.len()))
        .map_err(CliError::Stdout)
}
