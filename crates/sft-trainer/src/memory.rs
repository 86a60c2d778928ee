//! Peak memory of the process, and what decides it.

use sft_dataset::Example;
use sft_model::memory::BatchShape;

/// Highest resident set size of this process so far, in MiB: `VmHWM` of /proc/self/status.
///
/// `None` where there is no such file: other systems tell it only through `getrusage`, a foreign function that
/// safe Rust cannot call. Memory of an accelerator is not counted.
pub fn peak_memory_mb() -> Option<f64> {
    high_water_mark(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The largest micro-batch that any order of the examples makes: the longest ones together.
pub fn largest_batch(examples: &[Example], batch_size: usize) -> BatchShape {
    // The last token of an example is only ever a label.
    let mut rows: Vec<(usize, usize)> = examples
        .iter()
        .map(|example| {
            let tokens = example.ids.len();
            (tokens.saturating_sub(1), tokens.saturating_sub(example.first_target.max(1)))
        })
        .collect();
    rows.sort_unstable_by(|a, b| b.cmp(a));
    let longest = rows.first().map_or(0, |(tokens, _)| *tokens);
    rows.truncate(batch_size);
    let sum = |of: fn(&(usize, usize)) -> usize| rows.iter().map(of).sum();
    BatchShape { tokens: sum(|row| row.0), targets: sum(|row| row.1), longest }
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

    #[test]
    fn the_largest_batch_is_the_longest_examples() {
        let example = |tokens: usize, first_target| Example {
            ids: vec![1; tokens],
            first_target,
            index: 0,
            line: 2,
        };
        let examples = [example(5, 3), example(9, 4), example(7, 6)];
        let batch = |size| largest_batch(&examples, size);
        assert_eq!(batch(2), BatchShape { tokens: 14, targets: 6, longest: 8 });
        assert_eq!(batch(9), BatchShape { tokens: 18, targets: 8, longest: 8 });
    }
}
