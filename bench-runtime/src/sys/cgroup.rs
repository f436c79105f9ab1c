//! The CPU quota of the process's control group, version 1 and 2.

use std::fs;
use std::path::{Path, PathBuf};

/// CPUs that the quota is worth, as a fraction; `None` without a quota. The
/// smallest of the group's and its ancestors'.
pub(crate) fn cpu_quota() -> Option<f64> {
    quota_below(Path::new("/"))
}

/// As [`cpu_quota`], with `/proc` and `/sys` under another root, for tests.
fn quota_below(root: &Path) -> Option<f64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mut least: Option<f64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(group)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let found = if id == "0" && controllers.is_empty() {
            walk(&root.join("sys/fs/cgroup"), group, read_v2)
        } else if controllers.split(',').any(|c| c == "cpu") {
            walk(&root.join("sys/fs/cgroup/cpu"), group, read_v1)
                .or_else(|| walk(&root.join("sys/fs/cgroup/cpu,cpuacct"), group, read_v1))
        } else {
            None
        };
        least = match (least, found) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    least
}

/// The smallest quota from the group up to the mount.
fn walk(mount: &Path, group: &str, read: fn(&Path) -> Option<f64>) -> Option<f64> {
    let mut least: Option<f64> = None;
    let group = Path::new(group.trim_start_matches('/'));
    for ancestor in group.ancestors() {
        let dir: PathBuf = mount.join(ancestor);
        if let Some(quota) = read(&dir) {
            least = Some(least.map_or(quota, |l| l.min(quota)));
        }
    }
    least
}

fn read_v2(dir: &Path) -> Option<f64> {
    let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
    let mut words = text.split_whitespace();
    ratio(words.next()?, words.next()?)
}

fn read_v1(dir: &Path) -> Option<f64> {
    let quota = fs::read_to_string(dir.join("cpu.cfs_quota_us")).ok()?;
    let period = fs::read_to_string(dir.join("cpu.cfs_period_us")).ok()?;
    ratio(quota.trim(), period.trim())
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let quota: f64 = quota.parse().ok()?;
    let period: f64 = period.parse().ok()?;
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// GOMAXPROCS: the smaller of the CPUs and the quota rounded up. Go's rule but
/// for its least of two, which is there for its collector.
pub(crate) fn procs_for(cpus: usize, quota: Option<f64>) -> usize {
    let by_quota = quota.map_or(usize::MAX, |q| q.ceil() as usize);
    cpus.min(by_quota).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, text).expect("a file");
        }
        dir
    }

    #[test]
    fn quota_of_version_2_is_the_least_of_the_ancestors() {
        let dir = tree(&[
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/a/cpu.max", "150000 100000\n"),
        ]);
        assert_eq!(quota_below(dir.path()), Some(1.5));
    }

    #[test]
    fn quota_of_version_1_is_read_from_its_controller() {
        let dir = tree(&[
            ("proc/self/cgroup", "4:memory:/x\n3:cpu,cpuacct:/x\n"),
            ("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(quota_below(dir.path()), Some(0.5));
    }

    #[test]
    fn quota_without_a_limit_is_none() {
        let dir = tree(&[
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(quota_below(dir.path()), None);
        assert_eq!(quota_below(Path::new("/nonexistent")), None);
    }

    #[test]
    fn procs_rounds_the_quota_up_and_never_exceeds_the_cpus() {
        assert_eq!(procs_for(8, None), 8);
        assert_eq!(procs_for(8, Some(0.5)), 1);
        assert_eq!(procs_for(8, Some(2.0)), 2);
        assert_eq!(procs_for(8, Some(2.00001)), 3);
        assert_eq!(procs_for(4, Some(16.0)), 4);
    }
}
