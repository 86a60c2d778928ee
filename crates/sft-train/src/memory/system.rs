//! What the machine has free, and what this process takes.

use std::path::{Path, PathBuf};

use super::{kilobytes, text};

/// Where the system does not say what a process takes.
const USUAL: u64 = 64_000_000;

/// A tenth stays free: a prediction is no promise, and others need memory, too.
const SHARE: f64 = 0.9;

/// Bytes of memory that this process may still take: of what the machine has available and what the
/// process's control groups leave, the smallest. None where the system does not say.
pub(super) fn free() -> Option<u64> {
    let available = kilobytes(&text(Path::new("/proc/meminfo"))?, "MemAvailable")?;
    let groups = text(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let left = group_folders(&groups).iter().filter_map(|folder| left_in(folder)).min();
    Some((left.unwrap_or(u64::MAX).min(available) as f64 * SHARE) as u64)
}

/// Bytes that are resident now.
pub(super) fn resident() -> u64 {
    let status = text(Path::new("/proc/self/status"));
    status.and_then(|status| kilobytes(&status, "VmRSS")).unwrap_or(USUAL)
}

/// The folders of the memory groups that a process is in, after `/proc/self/cgroup`: its own and all
/// above it, in either version. Inside a container the root of what is mounted is the group itself.
fn group_folders(groups: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let root = match controllers {
            "" => Path::new("/sys/fs/cgroup"),
            list if list.split(',').any(|name| name == "memory") => {
                Path::new("/sys/fs/cgroup/memory")
            }
            _ => continue,
        };
        let own = root.join(path.trim_start_matches('/'));
        folders.extend(own.ancestors().take_while(|f| f.starts_with(root)).map(Path::to_owned));
    }
    folders
}

/// What a group's limit leaves; pages of files that nobody has used lately are given back when
/// memory is short, so they count as free.
fn left_in(folder: &Path) -> Option<u64> {
    let number = |name: &str| text(&folder.join(name))?.trim().parse::<u64>().ok();
    let (limit, usage) = number("memory.max")
        .zip(number("memory.current"))
        .or_else(|| number("memory.limit_in_bytes").zip(number("memory.usage_in_bytes")))?;
    let stat = text(&folder.join("memory.stat")).unwrap_or_default();
    let inactive = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse::<u64>().ok()
    };
    let pages = inactive("total_inactive_file").or_else(|| inactive("inactive_file"));
    Some(limit.saturating_sub(usage.saturating_sub(pages.unwrap_or(0))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_both_versions_are_found() {
        let folders = |text| group_folders(text).iter().map(|p| p.display().to_string()).collect();
        let found: Vec<String> = folders("0::/user.slice/job\n");
        let v2 = "/sys/fs/cgroup";
        assert_eq!(found, [format!("{v2}/user.slice/job"), format!("{v2}/user.slice"), v2.into()]);
        let found: Vec<String> = folders("5:cpu,cpuacct:/a\n4:memory:/a\n1:name=systemd:/\n");
        assert_eq!(found, ["/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory"]);
    }

    #[test]
    fn a_limit_less_what_is_in_use_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(left_in(dir.path()), None);
        write("memory.max", "max\n");
        write("memory.current", "700\n");
        assert_eq!(left_in(dir.path()), None);
        write("memory.max", "1000\n");
        assert_eq!(left_in(dir.path()), Some(300));
        write("memory.stat", "anon 500\ninactive_file 200\nactive_file 7\n");
        assert_eq!(left_in(dir.path()), Some(500));
        write("memory.current", "5000\n");
        assert_eq!(left_in(dir.path()), Some(0));
    }

    #[test]
    fn this_process_takes_memory_and_the_machine_has_some() {
        assert!(resident() > 1_000_000);
        if cfg!(target_os = "linux") {
            assert!(free().unwrap() > 0);
        }
    }
}
