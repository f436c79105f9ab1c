//! The control group of this process, in either version: what it and the groups
//! above it allow.
//!
//! In a container `/proc` may name a group that is not below the mount: then the
//! mount itself is the container's group, and that is where the walk ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{number, text};

/// What a group allows of something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit<T> {
    /// No group on the way up has a limit.
    Unlimited,
    /// The smallest on the way up.
    Of(T),
}

impl<T: Into<Value>> From<Limit<T>> for Value {
    fn from(limit: Limit<T>) -> Self {
        match limit {
            Limit::Unlimited => Self::from("unlimited"),
            Limit::Of(limit) => limit.into(),
        }
    }
}

/// Where the groups of this process have their files.
#[derive(Debug, Default)]
pub(super) struct Cgroup {
    /// Of version 2, from the process's own group up to the mount.
    unified: Vec<PathBuf>,
    /// The same of version 1, by controller.
    by_controller: BTreeMap<String, Vec<PathBuf>>,
}

impl Cgroup {
    pub(super) fn of_this_process() -> Self {
        Self::below(Path::new("/"))
    }

    /// As [`of_this_process`](Self::of_this_process), with `/proc` and `/sys`
    /// below another root, for tests.
    fn below(root: &Path) -> Self {
        let mut found = Self::default();
        let groups = text(root.join("proc/self/cgroup")).unwrap_or_default();
        let mount = root.join("sys/fs/cgroup");
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
                continue;
            };
            if controllers.is_empty() {
                found.unified = up(&mount, group);
            }
            for controller in controllers.split(',').filter(|name| !name.is_empty()) {
                // Mounted under its own name, or with the others of its line.
                let own = mount.join(controller);
                let mount = match own.is_dir() {
                    true => own,
                    false => mount.join(controllers),
                };
                let folders = up(&mount, group);
                found.by_controller.insert(controller.to_owned(), folders);
            }
        }
        found
    }

    /// The version in use; `None` where the host does not say.
    pub(super) fn version(&self) -> Option<u32> {
        match (self.unified.is_empty(), self.by_controller.is_empty()) {
            (_, false) => Some(1),
            (false, true) => Some(2),
            (true, true) => None,
        }
    }

    /// How many CPUs the quota comes to; `None` where the host does not say.
    pub(super) fn cpus(&self) -> Option<Limit<f64>> {
        let ratio = |quota: &str, period: &str| {
            let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
            (quota > 0.0 && period > 0.0).then(|| quota / period)
        };
        let v2 = |folder: &Path| {
            let max = text(folder.join("cpu.max"))?;
            let (quota, period) = max.split_once(' ')?;
            ratio(quota, period)
        };
        let v1 = |folder: &Path| {
            let quota = text(folder.join("cpu.cfs_quota_us"))?;
            ratio(&quota, &text(folder.join("cpu.cfs_period_us"))?)
        };
        self.least("cpu", v2, v1)
    }

    /// The most tasks.
    pub(super) fn pids(&self) -> Option<Limit<u64>> {
        let max = |folder: &Path| number(folder.join("pids.max"));
        self.least("pids", max, max)
    }

    /// The most bytes of memory.
    pub(super) fn memory(&self) -> Option<Limit<u64>> {
        // What version 1 writes for no limit: the largest count of pages.
        const NONE_BYTES: u64 = 1 << 60;
        let v1 = |folder: &Path| {
            number(folder.join("memory.limit_in_bytes")).filter(|&bytes| bytes < NONE_BYTES)
        };
        self.least("memory", |folder| number(folder.join("memory.max")), v1)
    }

    /// Time for which this group or one above it was held back by its quota, in
    /// all: that of the group with the most.
    pub(super) fn throttled_ns(&self) -> Option<u64> {
        let of = |folder: &Path| {
            text(folder.join("cpu.stat"))?.lines().find_map(|line| {
                let (name, value) = line.split_once(' ')?;
                let value: u64 = value.trim().parse().ok()?;
                match name {
                    "throttled_usec" => Some(value.saturating_mul(1000)),
                    "throttled_time" => Some(value),
                    _ => None,
                }
            })
        };
        let folders = self.unified.iter().chain(self.folders("cpu"));
        folders.filter_map(|folder| of(folder)).max()
    }

    fn folders(&self, controller: &str) -> &[PathBuf] {
        let found = self.by_controller.get(controller);
        found.map_or(&[], Vec::as_slice)
    }

    /// The smallest limit on the way up, by what reads it in version 2 and in
    /// version 1; `None` where no folder of a group is there to read it from.
    fn least<T: PartialOrd>(
        &self,
        controller: &str,
        v2: impl Fn(&Path) -> Option<T>,
        v1: impl Fn(&Path) -> Option<T>,
    ) -> Option<Limit<T>> {
        let (unified, own) = (&self.unified, self.folders(controller));
        if !unified.iter().chain(own).any(|folder| folder.is_dir()) {
            return None;
        }
        let limits = unified.iter().filter_map(|folder| v2(folder));
        let limits = limits.chain(own.iter().filter_map(|folder| v1(folder)));
        let least = limits.reduce(|a, b| if b < a { b } else { a });
        Some(least.map_or(Limit::Unlimited, Limit::Of))
    }
}

/// The folders from a group's own up to the mount.
fn up(mount: &Path, group: &str) -> Vec<PathBuf> {
    let group = Path::new(group.trim_start_matches('/'));
    group.ancestors().map(|part| mount.join(part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroup(files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroup) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let found = Cgroup::below(root.path());
        (root, found)
    }

    #[test]
    fn quota_of_a_group_above_holds_for_the_groups_below_it() {
        let (_root, found) = cgroup(&[
            ("proc/self/cgroup", "0::/kubepods/pod1/box\n"),
            ("sys/fs/cgroup/kubepods/pod1/cpu.max", "50000 100000\n"),
            ("sys/fs/cgroup/kubepods/pod1/box/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/kubepods/pod1/cpu.stat", "throttled_usec 5\n"),
            (
                "sys/fs/cgroup/kubepods/pod1/box/cpu.stat",
                "throttled_usec 0\n",
            ),
            ("sys/fs/cgroup/kubepods/memory.max", "1000\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.max", "2000\n"),
        ]);
        assert_eq!(found.version(), Some(2));
        assert_eq!(found.cpus(), Some(Limit::Of(0.5)));
        assert_eq!(found.memory(), Some(Limit::Of(1000)));
        assert_eq!(found.pids(), Some(Limit::Unlimited));
        assert_eq!(found.throttled_ns(), Some(5_000));
    }

    #[test]
    fn group_that_is_not_below_the_mount_is_the_mount_itself() {
        let (_root, found) = cgroup(&[
            ("proc/self/cgroup", "0::/docker/4f2a\n"),
            ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
        ]);
        assert_eq!(found.cpus(), Some(Limit::Of(1.5)));
    }

    #[test]
    fn version_1_is_read_from_its_controller_under_either_name() {
        for mount in ["cpu", "cpu,cpuacct"] {
            let file = |rest: &str| format!("sys/fs/cgroup/{mount}/{rest}");
            let (_root, found) = cgroup(&[
                ("proc/self/cgroup", "3:cpu,cpuacct:/ecs/task/box\n"),
                (&file("ecs/task/cpu.cfs_quota_us"), "50000\n"),
                (&file("ecs/task/cpu.cfs_period_us"), "100000\n"),
                (&file("ecs/task/box/cpu.cfs_quota_us"), "-1\n"),
                (&file("ecs/task/box/cpu.cfs_period_us"), "100000\n"),
            ]);
            assert_eq!(found.version(), Some(1));
            assert_eq!(found.cpus(), Some(Limit::Of(0.5)), "{mount}");
        }
    }

    #[test]
    fn no_quota_is_told_from_a_host_that_does_not_say() {
        let (_root, none) = cgroup(&[
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(none.cpus(), Some(Limit::Unlimited));
        let (_root, unmounted) = cgroup(&[("proc/self/cgroup", "0::/\n")]);
        assert_eq!(unmounted.cpus(), None);
        let (_root, without_proc) = cgroup(&[]);
        assert_eq!((without_proc.cpus(), without_proc.version()), (None, None));
    }
}
