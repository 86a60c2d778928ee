//! Peak memory of the process.

/// Highest resident set size of this process so far, in MiB: `VmHWM` of /proc/self/status.
///
/// `None` where there is no such file: other systems tell it only through `getrusage`, a foreign function that
/// safe Rust cannot call. Memory of an accelerator is not counted.
pub fn peak_memory_mb() -> Option<f64> {
    high_water_mark(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn high_water_mark(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_high_water_mark() {
        assert_eq!(
            high_water_mark("Name:\tx\nVmPeak:\t 9000 kB\nVmHWM:\t    3072 kB\n"),
            Some(3.0)
        );
        assert_eq!(high_water_mark("Name:\tx\n"), None);
        if cfg!(target_os = "linux") {
            assert!(peak_memory_mb() > Some(1.0));
        }
    }
}
