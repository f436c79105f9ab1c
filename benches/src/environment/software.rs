//! The software around a run: build, kernel settings, limits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use procfs::process::{LimitValue, Process};
use serde_json::{Value, json};

use super::{number, text};

/// The facts by name; a fact that cannot be read is absent.
#[must_use]
pub fn software() -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    build(&mut facts);
    kernel(&mut facts);
    limits(&mut facts);
    facts
}

fn put(facts: &mut BTreeMap<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        facts.insert(name.to_owned(), value.into());
    }
}

fn build(facts: &mut BTreeMap<String, Value>) {
    let known = |text: &'static str| (!text.is_empty()).then_some(text);
    put(facts, "rustc", known(env!("THREADBARE_BUILD_RUSTC")));
    put(facts, "target", known(env!("THREADBARE_BUILD_TARGET")));
    put(facts, "profile", known(env!("THREADBARE_BUILD_PROFILE")));
    put(
        facts,
        "opt_level",
        known(env!("THREADBARE_BUILD_OPT_LEVEL")),
    );
    put(
        facts,
        "rustflags",
        known(env!("THREADBARE_BUILD_RUSTFLAGS")),
    );
    put(
        facts,
        "git_commit",
        known(env!("THREADBARE_BUILD_GIT_COMMIT")),
    );
    put(
        facts,
        "git_dirty",
        env!("THREADBARE_BUILD_GIT_DIRTY").parse::<bool>().ok(),
    );
    put(facts, "allocator", Some("system"));
    put(facts, "libc", libc_version());
}

/// The C library by the file that this process has mapped.
fn libc_version() -> Option<String> {
    let maps = text("/proc/self/maps")?;
    let path = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
        .find(|path| {
            path.contains("/libc.so") || path.contains("/libc-") || path.contains("ld-musl")
        })?;
    if path.contains("musl") {
        return Some("musl".to_owned());
    }
    let bytes = std::fs::read(path).ok()?;
    let sign = b"GNU C Library";
    let at = bytes
        .windows(sign.len())
        .position(|window| window == sign)?;
    let line = bytes[at..]
        .split(|&byte| byte == b'\n' || byte == 0)
        .next()?;
    Some(
        String::from_utf8_lossy(line)
            .trim_end_matches('.')
            .to_owned(),
    )
}

fn kernel(facts: &mut BTreeMap<String, Value>) {
    for (name, path) in [
        ("kernel", "/proc/sys/kernel/osrelease"),
        ("kernel_build", "/proc/sys/kernel/version"),
        (
            "clock_source",
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        ),
        (
            "governor",
            "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        ),
        (
            "energy_preference",
            "/sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference",
        ),
        ("thp", "/sys/kernel/mm/transparent_hugepage/enabled"),
        ("thp_defrag", "/sys/kernel/mm/transparent_hugepage/defrag"),
        ("aslr", "/proc/sys/kernel/randomize_va_space"),
        ("overcommit", "/proc/sys/vm/overcommit_memory"),
        ("swappiness", "/proc/sys/vm/swappiness"),
        ("numa_balancing", "/proc/sys/kernel/numa_balancing"),
        (
            "perf_event_paranoid",
            "/proc/sys/kernel/perf_event_paranoid",
        ),
    ] {
        put(facts, name, text(path));
    }
    put(facts, "turbo", turbo());
    put(
        facts,
        "counters",
        Some(crate::lane_process::counters_rung()),
    );
    put(
        facts,
        "kernel_command_line",
        text("/proc/cmdline").map(|line| without_values(&line)),
    );
}

/// Whether the CPU may clock above its base, where a driver says so.
fn turbo() -> Option<bool> {
    let no_turbo: Option<u8> = number("/sys/devices/system/cpu/intel_pstate/no_turbo");
    let boost: Option<u8> = number("/sys/devices/system/cpu/cpufreq/boost");
    no_turbo.map(|off| off == 0).or(boost.map(|on| on == 1))
}

/// The kernel's command line with only those parameters whole that bear on
/// speed: the rest may hold names and addresses of somebody's machines, and
/// result files are made to be passed around.
fn without_values(line: &str) -> String {
    const KEPT: [&str; 24] = [
        "mitigations",
        "isolcpus",
        "nohz",
        "nohz_full",
        "rcu_nocbs",
        "idle",
        "processor.max_cstate",
        "intel_idle.max_cstate",
        "intel_pstate",
        "amd_pstate",
        "nosmt",
        "maxcpus",
        "nr_cpus",
        "transparent_hugepage",
        "hugepages",
        "hugepagesz",
        "default_hugepagesz",
        "psi",
        "preempt",
        "tsc",
        "clocksource",
        "numa_balancing",
        "threadirqs",
        "audit",
    ];
    let words = line
        .split_whitespace()
        .filter(|word| KEPT.contains(&word.split('=').next().unwrap_or(word)));
    words.collect::<Vec<_>>().join(" ")
}

fn limits(facts: &mut BTreeMap<String, Value>) {
    for (name, path) in [
        ("pid_max_count", "/proc/sys/kernel/pid_max"),
        ("threads_max_count", "/proc/sys/kernel/threads-max"),
        ("max_map_count", "/proc/sys/vm/max_map_count"),
        ("somaxconn_count", "/proc/sys/net/core/somaxconn"),
    ] {
        put(facts, name, number::<u64>(path));
    }
    if let Ok(limits) = Process::myself().and_then(|process| process.limits()) {
        let value = |limit: LimitValue| match limit {
            LimitValue::Unlimited => Value::from("unlimited"),
            LimitValue::Value(value) => Value::from(value),
        };
        put(
            facts,
            "open_files_limit_count",
            Some(value(limits.max_open_files.soft_limit)),
        );
        put(
            facts,
            "processes_limit_count",
            Some(value(limits.max_processes.soft_limit)),
        );
        put(
            facts,
            "stack_limit_bytes",
            Some(value(limits.max_stack_size.soft_limit)),
        );
        put(
            facts,
            "address_space_limit_bytes",
            Some(value(limits.max_address_space.soft_limit)),
        );
        put(
            facts,
            "locked_memory_limit_bytes",
            Some(value(limits.max_locked_memory.soft_limit)),
        );
    }
    let cgroup = Cgroup::of_this_process();
    put(facts, "cgroup_cpus_ratio", cgroup.cpus());
    put(
        facts,
        "cgroup_pids_max",
        cgroup.read("pids", "pids.max", "pids.max"),
    );
    put(
        facts,
        "cgroup_memory_max",
        cgroup.read("memory", "memory.max", "memory.limit_in_bytes"),
    );
    put(
        facts,
        "cgroup_version",
        cgroup.version().map(|version| json!(version)),
    );
}

/// Where the control group of this process has its files, in either version.
pub(super) struct Cgroup {
    unified: Option<PathBuf>,
    by_controller: BTreeMap<String, PathBuf>,
}

impl Cgroup {
    pub(super) fn of_this_process() -> Self {
        Self::parse(&text("/proc/self/cgroup").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut cgroup = Self {
            unified: None,
            by_controller: BTreeMap::new(),
        };
        for line in text.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
                continue;
            };
            let path = path.trim_start_matches('/');
            if controllers.is_empty() {
                cgroup.unified = Some(PathBuf::from("/sys/fs/cgroup").join(path));
            }
            for controller in controllers.split(',').filter(|name| !name.is_empty()) {
                let folder = PathBuf::from("/sys/fs/cgroup").join(controller).join(path);
                cgroup.by_controller.insert(controller.to_owned(), folder);
            }
        }
        cgroup
    }

    fn version(&self) -> Option<u32> {
        match (&self.unified, self.by_controller.is_empty()) {
            (Some(_), true) => Some(2),
            (_, false) => Some(1),
            (None, true) => None,
        }
    }

    /// A file by its name in version 2, else by its name in version 1.
    pub(super) fn read(&self, controller: &str, v2: &str, v1: &str) -> Option<String> {
        let unified = self
            .unified
            .as_ref()
            .and_then(|folder| text(folder.join(v2)));
        unified.or_else(|| text(self.by_controller.get(controller)?.join(v1)))
    }

    /// How many CPUs the quota comes to; `None` without a quota.
    fn cpus(&self) -> Option<f64> {
        if let Some(max) = self
            .unified
            .as_ref()
            .and_then(|folder| text(folder.join("cpu.max")))
        {
            let (quota, period) = max.split_once(' ')?;
            return Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?);
        }
        let folder = self.by_controller.get("cpu")?;
        let quota: f64 = number(folder.join("cpu.cfs_quota_us"))?;
        let period: f64 = number(folder.join("cpu.cfs_period_us"))?;
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    }

    /// Time for which this group was held back by its quota, in all.
    pub(super) fn throttled_ns(&self) -> Option<u64> {
        let stat = self.read("cpu", "cpu.stat", "cpu.stat")?;
        stat.lines().find_map(|line| {
            let (name, value) = line.split_once(' ')?;
            let value: u64 = value.trim().parse().ok()?;
            match name {
                "throttled_usec" => Some(value * 1000),
                "throttled_time" => Some(value),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_is_known() {
        let facts = software();
        assert!(
            facts["rustc"].as_str().unwrap().starts_with("rustc "),
            "{facts:?}"
        );
        assert!(facts["target"].as_str().unwrap().contains("linux"));
        assert!(facts["max_map_count"].as_u64().unwrap() > 0);
        assert!(facts["kernel"].is_string());
    }

    #[test]
    fn only_parameters_that_bear_on_speed_leave_the_host() {
        let line = "root=UUID=1234 mitigations=off token=secret quiet nosmt";
        assert_eq!(without_values(line), "mitigations=off nosmt");
    }

    #[test]
    fn control_groups_of_both_versions_are_found() {
        let v1 = Cgroup::parse("3:cpu,cpuacct:/a\n0::/");
        assert_eq!(v1.version(), Some(1));
        assert_eq!(
            v1.by_controller["cpuacct"],
            PathBuf::from("/sys/fs/cgroup/cpuacct/a")
        );
        let v2 = Cgroup::parse("0::/user.slice/x");
        assert_eq!(v2.version(), Some(2));
        assert_eq!(
            v2.unified,
            Some(PathBuf::from("/sys/fs/cgroup/user.slice/x"))
        );
        assert_eq!(Cgroup::parse("").version(), None);
    }
}
