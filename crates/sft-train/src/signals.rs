//! Ctrl-C: the first finishes the step and saves, the second leaves at once.

use sft_trainer::StopFlag;

use crate::error::CliError;
use crate::progress::Progress;
use crate::run::INTERRUPTED;

/// Sets the flag at the first signal.
pub(crate) fn listen(stop: &StopFlag, progress: &Progress) -> Result<(), CliError> {
    let (stop, progress) = (stop.clone(), progress.clone());
    let handler = move || {
        if stop.is_set() {
            std::process::exit(INTERRUPTED.into());
        }
        stop.set();
        progress.note(
            "stopping: this step will be finished and saved; once more to stop without saving",
        );
    };
    if hangup_is_ignored() {
        // Under nohup the run shall outlive its terminal, so signals that are ignored stay ignored.
        match ctrlc::try_set_handler(handler) {
            Err(ctrlc::Error::MultipleHandlers) => Ok(()),
            other => Ok(other?),
        }
    } else {
        Ok(ctrlc::set_handler(handler)?)
    }
}

/// Whether this process was started to ignore SIGHUP (where the system tells).
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
