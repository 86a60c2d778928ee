//! A signal that ends the program at the prompt leaves the terminal as it was.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::thread;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Bracketed paste off, and a new line for what comes next.
const AFTER_PROMPT: &[u8] = b"\x1b[?2004l\n";

/// From now on SIGHUP and SIGTERM still end the program, but a terminal that waits for keys becomes first what it is now.
pub(super) fn before_signals_end_the_program() -> io::Result<()> {
    let before = tcgetattr(io::stdin())?;
    // Standard output itself is locked for as long as the conversation lasts.
    let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut signals = Signals::new([SIGHUP, SIGTERM])?;
    let restorer = move || {
        for signal in signals.forever() {
            restore(&before, &mut out);
            let _ = emulate_default_handler(signal); // ends the program
        }
    };
    thread::Builder::new().name("signals".into()).spawn(restorer)?;
    Ok(())
}

/// Failures concern a terminal that has gone.
fn restore(before: &Termios, out: &mut File) {
    // In the background the terminal is the shell's, and to touch it would stop this process.
    let is_ours = tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp());
    let waits_for_keys =
        || tcgetattr(io::stdin()).is_ok_and(|now| !now.local_flags.contains(LocalFlags::ICANON));
    if is_ours && waits_for_keys() {
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        let _ = out.write_all(AFTER_PROMPT);
    }
}
