//! The control groups of a process, of both versions, and their limits. The benchmark suite uses
//! them too.
//!
//! A group is found by its name in `/proc/PID/cgroup`, below a mount of `/proc/self/mountinfo`. In
//! a container the mount shows only a part of the tree. For a group outside that part the mount
//! itself, the highest visible group, is used.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

/// A limit of the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit<T> {
    /// Neither the group nor a group above it has a limit.
    Unlimited,
    /// The smallest limit of the group and of the groups above it.
    Of(T),
}

/// The folders of a process's groups.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// The folders of version 2, from the process's own group up to the mount.
    unified: Vec<PathBuf>,
    /// The folders of version 1, by controller.
    by_controller: BTreeMap<String, Vec<PathBuf>>,
}

#[derive(Debug)]
struct Mount {
    at: PathBuf,
    /// The group that the mount shows at its top.
    root: PathBuf,
    /// Empty for version 2.
    controllers: Vec<String>,
}

impl Cgroup {
    /// The groups of this process. Reads small files of `/proc` and `/sys`.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self::of("self")
    }

    /// The groups of another process.
    #[must_use]
    pub fn of_process(pid: u32) -> Self {
        Self::of(&pid.to_string())
    }

    fn of(process: &str) -> Self {
        // Read once: the mounts do not change.
        static MOUNTS: OnceLock<Vec<Mount>> = OnceLock::new();
        let root = Path::new("/");
        Self::found(root, process, MOUNTS.get_or_init(|| mounts(root)))
    }

    /// As [`of_this_process`](Self::of_this_process), with `/proc` and `/sys` below another root,
    /// for tests.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self::found(root, "self", &mounts(root))
    }

    fn found(root: &Path, process: &str, mounts: &[Mount]) -> Self {
        let mut found = Self::default();
        let path = root.join("proc").join(process).join("cgroup");
        for line in fs::read_to_string(path).unwrap_or_default().lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
                continue;
            };
            if controllers.is_empty() {
                found.unified = folders(mounts, None, group);
                // Adds the usual place, because the list of mounts may be hidden, or name another
                // place.
                let usual = root.join("sys/fs/cgroup");
                let own = usual.join(group.trim_start_matches('/'));
                for folder in own.ancestors().take_while(|one| one.starts_with(&usual)) {
                    if !found.unified.iter().any(|one| one == folder)
                        && folder.join("cpu.max").exists()
                    {
                        found.unified.push(folder.to_owned());
                    }
                }
            }
            for controller in controllers.split(',').filter(|name| !name.is_empty()) {
                let folders = folders(mounts, Some(controller), group);
                if !folders.is_empty() {
                    found.by_controller.insert(controller.to_owned(), folders);
                }
            }
        }
        found
    }

    /// The version in use, 1 if both versions are; `None` if the host does not say.
    #[must_use]
    pub fn version(&self) -> Option<u32> {
        match (self.unified.is_empty(), self.by_controller.is_empty()) {
            (_, false) => Some(1),
            (false, true) => Some(2),
            (true, true) => None,
        }
    }

    /// How many CPUs the quota allows; `None` if the host does not say.
    #[must_use]
    pub fn cpus(&self) -> Option<Limit<f64>> {
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

    /// The most tasks that the group may have.
    #[must_use]
    pub fn tasks(&self) -> Option<Limit<u64>> {
        let max = |folder: &Path| number(folder.join("pids.max"));
        self.least("pids", max, max)
    }

    /// The most bytes of memory that the group may use.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<Limit<u64>> {
        // If there is no limit, version 1 writes the largest number of pages, in bytes, which is
        // more than this.
        const NONE_BYTES: u64 = 1 << 60;
        let v1 = |folder: &Path| {
            number(folder.join("memory.limit_in_bytes")).filter(|&bytes| bytes < NONE_BYTES)
        };
        self.least("memory", |folder| number(folder.join("memory.max")), v1)
    }

    /// The longest time, in nanoseconds, for which the process's group or a group above it was
    /// throttled.
    #[must_use]
    pub fn throttled_ns(&self) -> Option<u64> {
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
        let folders = self.unified.iter().chain(self.controller("cpu"));
        folders.filter_map(|folder| of(folder)).max()
    }

    /// The version used for this controller, 1 if version 1 has it, else 2; and the folder of the
    /// process's group there.
    #[must_use]
    pub fn folder(&self, controller: &str) -> Option<(u32, &Path)> {
        let first = self.controller(controller).first().map(|own| (1, own));
        let found = first.or_else(|| Some((2, self.unified.first()?)))?;
        Some((found.0, found.1.as_path()))
    }

    fn controller(&self, name: &str) -> &[PathBuf] {
        let found = self.by_controller.get(name);
        found.map_or(&[], Vec::as_slice)
    }

    /// The smallest limit of the groups; `None` if no folder of a group exists.
    fn least<T: PartialOrd>(
        &self,
        controller: &str,
        v2: impl Fn(&Path) -> Option<T>,
        v1: impl Fn(&Path) -> Option<T>,
    ) -> Option<Limit<T>> {
        let (unified, own) = (&self.unified, self.controller(controller));
        if !unified.iter().chain(own).any(|folder| folder.is_dir()) {
            return None;
        }
        let limits = unified.iter().filter_map(|folder| v2(folder));
        let limits = limits.chain(own.iter().filter_map(|folder| v1(folder)));
        let least = limits.reduce(|a, b| if b < a { b } else { a });
        Some(least.map_or(Limit::Unlimited, Limit::Of))
    }
}

/// GOMAXPROCS: the smaller of the CPUs and the quota rounded up. Go has a minimum of two, which is
/// for its collector.
pub(crate) fn procs_for(cpus: usize, quota: Option<Limit<f64>>) -> usize {
    let by_quota = match quota {
        Some(Limit::Of(quota)) => quota.ceil() as usize,
        _ => usize::MAX,
    };
    cpus.min(by_quota).max(1)
}

/// The folders from the group's own up to the mount of `controller`, or of version 2 if
/// `controller` is `None`. Empty if there is no such mount.
fn folders(mounts: &[Mount], controller: Option<&str>, group: &str) -> Vec<PathBuf> {
    let has = |mount: &&Mount| match controller {
        Some(name) => mount.controllers.iter().any(|other| other == name),
        None => mount.controllers.is_empty(),
    };
    let group = Path::new(group);
    let of = || mounts.iter().filter(has);
    let within = of().find_map(|mount| Some((mount, group.strip_prefix(&mount.root).ok()?)));
    // A name with `..` is of a group above the visible ones.
    let is_below = |part: &Path| !part.components().any(|one| one == Component::ParentDir);
    let found = match within {
        Some((mount, below)) if is_below(below) => Some((mount, below)),
        _ => of().next().map(|mount| (mount, Path::new(""))),
    };
    found.map_or_else(Vec::new, |(mount, below)| {
        below.ancestors().map(|part| mount.at.join(part)).collect()
    })
}

fn mounts(root: &Path) -> Vec<Mount> {
    let text = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (shown, at) = (unescaped(place.next()?), unescaped(place.next()?));
        let mut kind = kind.split(' ');
        let options = match kind.next()? {
            "cgroup2" => "",
            "cgroup" => kind.nth(1)?,
            _ => return None,
        };
        Some(Mount {
            at: root.join(at.trim_start_matches('/')),
            root: PathBuf::from(shown),
            controllers: options
                .split(',')
                .filter(|option| !option.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    };
    text.lines().filter_map(mount).collect()
}

/// Blanks and some other characters are written as three octal digits.
fn unescaped(path: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n")];
    let plain = escapes.iter().fold(path.to_owned(), |path, (code, sign)| {
        path.replace(code, sign)
    });
    plain.replace("\\134", "\\")
}

fn text(path: PathBuf) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn number(path: PathBuf) -> Option<u64> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: (&str, &str) = (
        "proc/self/mountinfo",
        "22 1 0:21 / /proc rw - proc proc rw\n30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
    );

    fn cgroup(files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroup) {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, text).expect("a file");
        }
        let found = Cgroup::below(root.path());
        (root, found)
    }

    #[test]
    fn quota_is_found_at_the_usual_place_where_the_mounts_are_not_shown() {
        let (_root, found) = cgroup(&[
            ("proc/self/cgroup", "0::/pod/box\n"),
            ("sys/fs/cgroup/pod/cpu.max", "50000 100000\n"),
            ("sys/fs/cgroup/pod/box/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(found.cpus(), Some(Limit::Of(0.5)));
    }

    #[test]
    fn quota_of_a_group_above_holds_for_the_groups_below_it() {
        let (_root, found) = cgroup(&[
            UNIFIED,
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
        assert_eq!(found.memory_bytes(), Some(Limit::Of(1000)));
        assert_eq!(found.tasks(), Some(Limit::Unlimited));
        assert_eq!(found.throttled_ns(), Some(5_000));
        let own = found.folder("memory").expect("a folder");
        assert_eq!(own.0, 2);
        assert!(own.1.ends_with("kubepods/pod1/box"), "{own:?}");
    }

    /// As in Docker with version 1: a container has the host's names of groups, but sees only its
    /// own part of the tree.
    #[test]
    fn group_is_looked_for_below_what_the_mount_shows() {
        let mount = "31 30 0:27 /docker/4f2a /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n";
        let (_root, found) = cgroup(&[
            ("proc/self/mountinfo", mount),
            ("proc/self/cgroup", "3:cpu,cpuacct:/docker/4f2a/sub\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/sub/cpu.cfs_quota_us", "150000\n"),
            (
                "sys/fs/cgroup/cpu,cpuacct/sub/cpu.cfs_period_us",
                "100000\n",
            ),
        ]);
        assert_eq!(found.cpus(), Some(Limit::Of(1.5)));
    }

    #[test]
    fn group_that_the_mount_does_not_show_is_the_mount_itself() {
        for group in ["/../other", "/docker/4f2a"] {
            let (_root, found) = cgroup(&[
                UNIFIED,
                ("proc/self/cgroup", &format!("0::{group}\n")),
                ("sys/fs/cgroup/cpu.max", "150000 100000\n"),
                ("sys/other/cpu.max", "1000 100000\n"),
            ]);
            assert_eq!(found.cpus(), Some(Limit::Of(1.5)), "{group}");
        }
    }

    #[test]
    fn version_1_is_read_wherever_its_controller_is_mounted() {
        for at in ["sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct", "cgroup x"] {
            let mount = format!(
                "31 30 0:27 / /{} rw shared:4 - cgroup none rw,cpu,cpuacct\n32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
                at.replace(' ', "\\040")
            );
            let file = |rest: &str| format!("{at}/{rest}");
            let (_root, found) = cgroup(&[
                ("proc/self/mountinfo", &mount),
                (
                    "proc/self/cgroup",
                    "3:cpu,cpuacct:/ecs/task/box\n0::/init.scope\n",
                ),
                (&file("ecs/task/cpu.cfs_quota_us"), "50000\n"),
                (&file("ecs/task/cpu.cfs_period_us"), "100000\n"),
                (&file("ecs/task/box/cpu.cfs_quota_us"), "-1\n"),
                (&file("ecs/task/box/cpu.cfs_period_us"), "100000\n"),
            ]);
            assert_eq!(found.version(), Some(1));
            assert_eq!(found.cpus(), Some(Limit::Of(0.5)), "{at}");
            let own = found.folder("cpu").expect("a folder");
            assert!(own.0 == 1 && own.1.ends_with("ecs/task/box"), "{own:?}");
        }
    }

    #[test]
    fn no_quota_differs_from_a_host_that_does_not_say() {
        let (_root, none) = cgroup(&[
            UNIFIED,
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(none.cpus(), Some(Limit::Unlimited));
        let (_root, unmounted) = cgroup(&[("proc/self/cgroup", "0::/\n")]);
        assert_eq!((unmounted.cpus(), unmounted.version()), (None, None));
        let (_root, without_proc) = cgroup(&[]);
        assert_eq!((without_proc.cpus(), without_proc.version()), (None, None));
    }

    #[test]
    fn procs_rounds_the_quota_up_and_never_exceeds_the_cpus() {
        let procs = |cpus, quota| procs_for(cpus, Some(Limit::Of(quota)));
        assert_eq!(procs_for(8, None), 8);
        assert_eq!(procs_for(8, Some(Limit::Unlimited)), 8);
        assert_eq!(procs(8, 0.5), 1);
        assert_eq!(procs(8, 2.0), 2);
        assert_eq!(procs(8, 2.00001), 3);
        assert_eq!(procs(4, 16.0), 4);
    }
}
