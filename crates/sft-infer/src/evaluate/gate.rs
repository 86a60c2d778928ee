//! `--min_*`: figures that must be reached.

use sft_eval::{Interval, ModelReport};

use crate::cli::Args;
use crate::error::Error;

/// Refuses a model of which a figure is below its threshold, or could not be measured.
pub(super) fn check(args: &Args, report: &ModelReport) -> Result<(), Error> {
    let summaries = report.summaries.as_ref();
    let share = |of: Option<Interval>| of.map(|interval| interval.estimate);
    let thresholds = [
        ("--min-auroc", args.min_auroc, report.scores.auroc),
        ("--min-rouge-l", args.min_rouge_l, share(summaries.and_then(|s| s.rouge_l))),
        ("--min-grounded", args.min_grounded, share(summaries.and_then(|s| s.grounded))),
        ("--min-faithful", args.min_faithful, share(summaries.and_then(|s| s.faithful))),
        ("--min-eos-rate", args.min_eos_rate, share(summaries.and_then(|s| s.eos_rate))),
    ];
    let short: Vec<String> = thresholds
        .into_iter()
        .filter_map(|(flag, least, found)| match (least.map(|share| share.0), found) {
            (Some(least), Some(found)) if found < least => {
                Some(format!("{found:.4} is below {flag} {least}"))
            }
            (Some(least), None) => Some(format!("nothing was measured for {flag} {least}")),
            _ => None,
        })
        .collect();
    if short.is_empty() { Ok(()) } else { Err(Error::BelowThreshold { short: short.join("; ") }) }
}
