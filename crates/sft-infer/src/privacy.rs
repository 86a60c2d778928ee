//! What a program about patients keeps to itself.

use tracing_subscriber::EnvFilter;

/// What is logged: `RUST_LOG`, or warnings. Libraries that log what they are given (lines that were typed, texts,
/// requests) stay silent whatever it says.
pub(crate) fn log_filter() -> EnvFilter {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    let silent = ["rustyline=off", "tokenizers=off", "ureq=off", "hyper=off", "csv=off"];
    silent.iter().filter_map(|rule| rule.parse().ok()).fold(filter, EnvFilter::add_directive)
}

/// Files that the program writes are for its user alone, and a panic says where it happened, not with which values: a note may
/// be among them.
pub(crate) fn protect() {
    #[cfg(unix)]
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!(
                "error: this is a fault in the program{place}; what was complete before is still there. Please report it with \
                 this line and the command\n"
            ),
        );
    }));
}
