//! The threads that share the work.

use std::error::Error;
use std::io;

/// Starts the threads that all operations share, as many as the machine has cores, or `RAYON_NUM_THREADS`. For the start of
/// a program: where they start with the first operation instead, a system that has no room for them ends the program in a
/// panic.
///
/// # Errors
/// The system's reason.
pub fn start_threads() -> io::Result<()> {
    match rayon::ThreadPoolBuilder::new().build_global() {
        // An error without a cause says that they run already.
        Err(error) if error.source().is_some() => Err(io::Error::other(error)),
        _ => Ok(()),
    }
}
