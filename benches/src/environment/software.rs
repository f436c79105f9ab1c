//! The software around a run: build, kernel settings, limits.

use std::collections::BTreeMap;
use std::path::Path;

use bench_runtime::__host::{Cgroup, Limit};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use serde_json::{Value, json};

use super::{clocks, number, placed, text};

/// The facts by name; a fact that cannot be read is absent.
#[must_use]
pub fn software() -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    build(&mut facts);
    kernel(&mut facts);
    limits(&mut facts);
    let placed = placed::placed();
    put(&mut facts, "placed", (!placed.is_empty()).then_some(placed));
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
    let maps = text("/proc/self/maps");
    put(facts, "allocator", maps.as_deref().map(allocator));
    put(facts, "libc", maps.as_deref().and_then(libc_version));
}

fn mapped(maps: &str) -> impl Iterator<Item = &str> {
    maps.lines()
        .filter_map(|line| line.split_whitespace().nth(5))
}

/// The library that replaces the system's allocator in this process, and so in the lanes, which
/// inherit `LD_PRELOAD`; `system` if there is none.
fn allocator(maps: &str) -> String {
    let names = mapped(maps).filter_map(|path| Path::new(path).file_name()?.to_str());
    let is_other = |name: &&str| {
        let words = ["malloc", "hoard"];
        name.contains(".so") && words.iter().any(|word| name.contains(word))
    };
    let mut others = names.filter(is_other);
    others.next().unwrap_or("system").to_owned()
}

fn libc_version(maps: &str) -> Option<String> {
    let path = mapped(maps).find(|path| {
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
    let root = Path::new("/");
    put(facts, "governor", clocks::governor(root));
    put(facts, "turbo", clocks::turbo(root));
    put(
        facts,
        "counters",
        Some(crate::lane_process::counters_rung()),
    );
    put(
        facts,
        "kernel_command_line",
        text("/proc/cmdline").map(|line| speed_parameters(&line)),
    );
}

/// The parameters of the kernel's command line that affect speed. Others may hold names and
/// addresses, and result files are public.
fn speed_parameters(line: &str) -> String {
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
    for (name, resource) in [
        ("open_files_limit_count", Resource::RLIMIT_NOFILE),
        ("processes_limit_count", Resource::RLIMIT_NPROC),
        ("stack_limit_bytes", Resource::RLIMIT_STACK),
        ("address_space_limit_bytes", Resource::RLIMIT_AS),
        ("locked_memory_limit_bytes", Resource::RLIMIT_MEMLOCK),
    ] {
        let value = getrlimit(resource).ok().map(|(soft, _)| match soft {
            RLIM_INFINITY => Limit::Unlimited,
            soft => Limit::Of(soft),
        });
        put(facts, name, value.map(limit));
    }
    let cgroup = Cgroup::of_this_process();
    put(facts, "cgroup_cpus_ratio", cgroup.cpus().map(limit));
    put(facts, "cgroup_pids_max", cgroup.tasks().map(limit));
    put(facts, "cgroup_memory_max", cgroup.memory_bytes().map(limit));
    put(
        facts,
        "cgroup_version",
        cgroup.version().map(|version| json!(version)),
    );
}

fn limit<T: Into<Value>>(limit: Limit<T>) -> Value {
    match limit {
        Limit::Unlimited => Value::from("unlimited"),
        Limit::Of(limit) => limit.into(),
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
    fn library_in_place_of_the_systems_allocator_is_named() {
        let line = |path: &str| format!("7f00-7f01 r-xp 00000000 08:01 1 {path}\n");
        let plain = line("/srv/malloc/threadbare") + &line("/lib/x86_64-linux-gnu/libc.so.6");
        assert_eq!(allocator(&plain), "system");
        let preloaded = plain + &line("/usr/lib/libjemalloc.so.2");
        assert_eq!(allocator(&preloaded), "libjemalloc.so.2");
    }

    #[test]
    fn only_kernel_parameters_that_affect_speed_are_recorded() {
        let line = "root=UUID=1234 mitigations=off token=secret quiet nosmt";
        assert_eq!(speed_parameters(line), "mitigations=off nosmt");
    }
}
