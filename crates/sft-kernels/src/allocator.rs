//! An allocator that says what to do when there is no memory left.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The system's allocator. Where that has no memory left, the process ends with status 1 and one line on standard error that
/// names the size asked for and the remedy, in place of an abort whose core dump would hold what is in memory. For
/// `#[global_allocator]` of a program.
#[derive(Clone, Copy, Debug)]
pub struct Allocator {
    remedy: &'static str,
}

impl Allocator {
    /// `remedy` ends the line: what the user can do to need less.
    #[must_use]
    pub const fn new(remedy: &'static str) -> Self {
        Self { remedy }
    }

    #[inline]
    fn checked(self, memory: *mut u8, bytes: usize) -> *mut u8 {
        if memory.is_null() {
            exhausted(bytes, self.remedy);
        }
        memory
    }
}

// SAFETY: every call goes to the system's allocator as it is, and what that returns is returned as it is.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        self.checked(unsafe { System.alloc(layout) }, layout.size())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same.
        self.checked(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`; `memory` is of the system's allocator, as all here is.
        self.checked(unsafe { System.realloc(memory, layout, size) }, size)
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`; `memory` is of the system's allocator, as all here is.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Says it once, without memory of the heap, and ends the process.
#[cold]
#[inline(never)]
fn exhausted(bytes: usize, remedy: &str) -> ! {
    static SAID: AtomicBool = AtomicBool::new(false);
    if SAID.swap(true, Ordering::SeqCst) {
        // Another thread is about to end the process.
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    let mut line = Line { text: [0; 512], used: 0 };
    // A line that does not fit is cut.
    let _ = write_line(&mut line, bytes, remedy);
    leave(&line.text[..line.used])
}

fn write_line(line: &mut Line, bytes: usize, remedy: &str) -> fmt::Result {
    let (size, unit) = if bytes >> 20 > 0 { (bytes >> 20, "MB") } else { (bytes, "bytes") };
    writeln!(line, "error: there is no memory left: {size} {unit} more were asked for; {remedy}")
}

/// A text of bounded length on the stack.
struct Line {
    text: [u8; 512],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.text.len() - self.used;
        let taken = text.len().min(room);
        self.text[self.used..self.used + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.used += taken;
        if taken == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Neither buffers nor handlers of the end of a process: these may ask for memory, or wait for this thread.
#[cfg(unix)]
fn leave(line: &[u8]) -> ! {
    // SAFETY: these are the functions of POSIX, with its types.
    unsafe extern "C" {
        fn write(file: i32, text: *const u8, bytes: usize) -> isize;
        fn _exit(status: i32) -> !;
    }
    // SAFETY: the pointer and the length are of one slice; nothing is done with what cannot be written.
    unsafe {
        write(2, line.as_ptr(), line.len());
        _exit(1)
    }
}

#[cfg(not(unix))]
fn leave(line: &[u8]) -> ! {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: usize, remedy: &str) -> String {
        let mut line = Line { text: [0; 512], used: 0 };
        let _ = write_line(&mut line, bytes, remedy);
        String::from_utf8_lossy(&line.text[..line.used]).into_owned()
    }

    #[test]
    fn the_line_has_size_and_remedy_and_an_end() {
        let line = "error: there is no memory left: 3 MB more were asked for; take less\n";
        assert_eq!(said(3 << 20, "take less"), line);
        assert!(said(17, "take less").contains("17 bytes more"));
        assert_eq!(said(17, &"x".repeat(1000)).len(), 512);
    }
}
