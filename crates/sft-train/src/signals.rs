//! Ctrl-C, SIGTERM and SIGHUP: the first finishes the step and saves, the second leaves at once. SIGUSR1 saves and goes on.

use sft_trainer::StopFlag;

use crate::error::CliError;
use crate::progress::Progress;
use crate::run::INTERRUPTED;

/// What to say at the first one.
pub(crate) const SAVING: &str =
    "stopping: this step will be finished and saved; once more to stop without saving";
/// The same for trials.
pub(crate) const TRIALS: &str = "stopping: this step will be finished; trials save nothing";

/// Sets the flags when signals come.
#[cfg(unix)]
pub(crate) fn listen(
    stop: &StopFlag,
    progress: &Progress,
    said: &'static str,
) -> Result<(), CliError> {
    use signal_hook::{consts, flag, iterator::Signals};
    let mut signals = vec![consts::SIGINT, consts::SIGTERM, consts::SIGHUP];
    // Under nohup the run shall outlive its terminal, so signals that are ignored stay ignored.
    let ignored = ignored_signals();
    if ignored & bit(consts::SIGHUP) != 0 {
        signals.retain(|&signal| ignored & bit(signal) == 0);
    }
    for &signal in &signals {
        // In this order, inside the signal handler: a second signal needs no thread that might wait for something.
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), stop.stop_flag())?;
        flag::register(signal, stop.stop_flag())?;
    }
    flag::register(consts::SIGUSR1, stop.save_flag())?;
    let (mut signals, progress) = (Signals::new(signals)?, progress.clone());
    std::thread::Builder::new().spawn(move || {
        if signals.forever().next().is_some() {
            progress.note(said);
        }
    })?;
    Ok(())
}

/// Ctrl-C, where there are no signals.
#[cfg(not(unix))]
pub(crate) fn listen(
    stop: &StopFlag,
    progress: &Progress,
    said: &'static str,
) -> Result<(), CliError> {
    let (stop, progress) = (stop.clone(), progress.clone());
    Ok(ctrlc::set_handler(move || {
        if stop.is_set() {
            std::process::exit(INTERRUPTED.into());
        }
        stop.set();
        progress.note(said);
    })?)
}

/// The signals that this process was started to ignore (where the system tells).
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(unix)]
fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}
