//! The facts of a machine and its software: the site shows them, filters by them, and separates
//! setups by them.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::run::{Run, is_base, short_commit};
use crate::schema::UNKNOWN;
use crate::{format, machine};

/// A named fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fact {
    /// The name.
    pub name: &'static str,
    /// The value; `unknown` if no source has it.
    pub value: String,
}

impl Fact {
    /// True if the value is known; for a hypervisor, if its class is known.
    #[must_use]
    pub fn is_told(&self) -> bool {
        !["", UNKNOWN, VIRTUAL].contains(&self.value.as_str())
    }

    /// The names in their order: the machine's facts first, the settings last.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let settings = SETTINGS.iter().map(|(name, _)| *name);
        Self::MAIN.into_iter().chain(settings)
    }

    /// True for the facts in `SETTINGS`.
    #[must_use]
    pub fn is_setting(&self) -> bool {
        !Self::MAIN.contains(&self.name)
    }

    const MAIN: [&'static str; 18] = [
        "CPU",
        "architecture",
        "sockets",
        "cores",
        "threads per core",
        "virtual",
        "memory",
        "CPUs of the run",
        "system",
        "mitigations",
        "governor",
        "huge pages",
        "allocator",
        "Rust",
        "Go",
        "tokio",
        "other runtimes",
        "suite",
    ];
}

/// A virtual machine whose hypervisor is unknown.
const VIRTUAL: &str = "virtual";

/// Settings of the build, of the kernel and of limits that may change or prevent a figure, each with
/// its name in the header's environment.
const SETTINGS: [(&str, &str); 24] = [
    ("target", "target"),
    ("optimisation", "opt_level"),
    ("Rust flags", "rustflags"),
    ("C library", "libc"),
    ("kernel build", "kernel_build"),
    ("kernel parameters", "kernel_command_line"),
    ("clock source", "clock_source"),
    ("turbo", "turbo"),
    ("energy preference", "energy_preference"),
    ("huge pages' defragmentation", "thp_defrag"),
    ("address randomisation", "aslr"),
    ("memory overcommit", "overcommit"),
    ("swappiness", "swappiness"),
    ("NUMA balancing", "numa_balancing"),
    ("cgroup version", "cgroup_version"),
    ("CPUs of the cgroup", "cgroup_cpus_ratio"),
    ("tasks of the cgroup", "cgroup_pids_max"),
    ("memory of the cgroup", "cgroup_memory_max"),
    ("open files", "open_files_limit_count"),
    ("tasks of the user", "processes_limit_count"),
    ("stack limit", "stack_limit_bytes"),
    ("locked memory", "locked_memory_limit_bytes"),
    ("memory maps", "max_map_count"),
    ("waiting connections", "somaxconn_count"),
];

pub(super) fn of(run: &Run) -> Vec<Fact> {
    let settings = SETTINGS.iter().map(|(_, name)| setting(run, name));
    let all = Fact::names().zip(values(run).into_iter().chain(settings));
    all.map(|(name, value)| Fact {
        name,
        value: match value.as_str() {
            "" => UNKNOWN.to_owned(),
            _ => value,
        },
    })
    .collect()
}

fn values(run: &Run) -> [String; 18] {
    let header = &run.header;
    let (host, machine) = (&header.host, &header.host.machine);
    let recorded = |name: &str| text(header.environment.get(name));
    let count = |count: u32| match count {
        0 => String::new(),
        count => count.to_string(),
    };
    let threads = match (machine.threads_count, machine.cores_count) {
        (threads, cores) if threads > 0 && cores > 0 && threads % cores == 0 => {
            (threads / cores).to_string()
        }
        // Some cores of a hybrid CPU have several threads.
        (threads, cores) if threads > 0 && cores > 0 => "mixed".to_owned(),
        _ => String::new(),
    };
    let class = match machine.hypervisor.as_str() {
        "none" => "bare metal",
        "vm" => VIRTUAL,
        class => class,
    };
    let virtually = match machine.instance_type.as_str() {
        "" | UNKNOWN => class.to_owned(),
        size => format!("{class} ({size})"),
    };
    let memory = match host.memory_bytes {
        0 => String::new(),
        bytes => format!("{:.0} GiB", bytes as f64 / f64::from(1 << 30)),
    };
    let cpus = match header.design.cpus.len() {
        0 => String::new(),
        cpus if cpus == machine.threads_count as usize => "all".to_owned(),
        cpus => cpus.to_string(),
    };
    let release = |lane: &str| {
        let lane = run.lane(lane);
        let runtime = lane.and_then(|lane| lane.runtime.split_whitespace().last());
        runtime.map_or_else(|| "not measured".to_owned(), str::to_owned)
    };
    let commit: String = recorded("git_commit").chars().take(9).collect();
    let rust = recorded("rustc");
    [
        machine::cpu(machine),
        machine.architecture.clone(),
        count(machine.sockets_count),
        count(machine.cores_count),
        threads,
        virtually,
        memory,
        cpus,
        host.operating_system.clone(),
        mitigations(host.facts.get("mitigations")),
        recorded("governor"),
        chosen(&recorded("thp")),
        recorded("allocator"),
        rust.split_whitespace().nth(1).unwrap_or("").to_owned(),
        release("go"),
        release("tokio"),
        other_runtimes(run),
        format!("{} {commit}", header.threadbare_version)
            .trim()
            .to_owned(),
    ]
}

/// Releases of lanes in other languages than Rust and Go, and of lanes with a version in their
/// name.
fn other_runtimes(run: &Run) -> String {
    let mut found = BTreeSet::new();
    for lane in &run.header.lanes {
        let is_versioned = lane.name.contains('@') && !is_base(&lane.name);
        let is_rust = lane.language.starts_with("rust ");
        if !is_versioned && (is_rust || lane.name == "go" || is_base(&lane.name)) {
            continue;
        }
        if !is_rust {
            found.insert(lane.language.clone());
        }
        found.insert(lane.runtime.clone());
        if is_versioned {
            found.insert(short_commit(&lane.commit).to_owned());
        }
    }
    found.remove("");
    match found.is_empty() {
        true => "none".to_owned(),
        false => found.into_iter().collect::<Vec<_>>().join(", "),
    }
}

/// A setting's value; empty if it is unknown.
fn setting(run: &Run, name: &str) -> String {
    const NO_LIMIT: u64 = 1 << 62;
    let environment = &run.header.environment;
    let Some(value) = environment.get(name) else {
        // A build without flags has no such entry.
        let is_build_told = name == "rustflags" && environment.contains_key("rustc");
        return if is_build_told { "none" } else { "" }.to_owned();
    };
    let said = text(Some(value));
    match (name, value.as_u64()) {
        (_, Some(NO_LIMIT..)) => "unlimited".to_owned(),
        // These limits are rounded, because the system derives them from the memory, which differs
        // slightly between machines of one kind.
        ("cgroup_pids_max" | "processes_limit_count", Some(count)) => format::count(rounded(count)),
        ("cgroup_memory_max" | "locked_memory_limit_bytes", Some(bytes)) => {
            format::bytes(rounded(bytes) as f64)
        }
        (_, Some(bytes)) if name.ends_with("_bytes") => format::binary_bytes(bytes),
        ("thp_defrag", _) => chosen(&said),
        ("libc", _) => inner(&said, ['(', ')']).unwrap_or(&said).to_owned(),
        ("rustflags" | "kernel_command_line", _) if said.is_empty() => "none".to_owned(),
        _ => said,
    }
}

fn rounded(value: u64) -> u64 {
    let step = 10_u64.pow(value.checked_ilog10().unwrap_or(0).saturating_sub(1));
    value.saturating_add(step / 2) / step * step
}

fn text(value: Option<&Value>) -> String {
    value.map_or_else(String::new, |value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// The kernel marks the chosen value with brackets.
fn chosen(text: &str) -> String {
    inner(text, ['[', ']']).unwrap_or(text).to_owned()
}

fn inner(text: &str, [open, close]: [char; 2]) -> Option<&str> {
    Some(text.split_once(open)?.1.split_once(close)?.0)
}

/// Whether the kernel mitigates the CPU's vulnerabilities, by its report on each.
fn mitigations(found: Option<&Value>) -> String {
    let Some(Value::Object(all)) = found else {
        return String::new();
    };
    let count = |word: &str| {
        let values = all.values().filter_map(Value::as_str);
        values.filter(|value| value.starts_with(word)).count()
    };
    match (count("Mitigation"), count("Vulnerable")) {
        (0, 0) => "not needed".to_owned(),
        (0, _) => "off".to_owned(),
        (_, 0) => "on".to_owned(),
        (_, vulnerable) => format!("partly: {vulnerable} vulnerable"),
    }
}

/// Orders releases such as `1.27.3` by their numbers, or by their text if the numbers are equal.
#[must_use]
pub fn release_order(a: &str, b: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|digits| digits.parse().ok())
            .collect()
    };
    numbers(a).cmp(&numbers(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Lane;

    #[test]
    fn mitigations_are_on_off_or_partly_on() {
        let said = |value: Value| mitigations(Some(&value));
        assert_eq!(
            said(json!({"a": "Mitigation: PTI", "b": "Vulnerable"})),
            "partly: 1 vulnerable"
        );
        assert_eq!(said(json!({"a": "Mitigation: PTI"})), "on");
        assert_eq!(said(json!({"a": "Vulnerable", "b": "Not affected"})), "off");
        assert_eq!(said(json!({"b": "Not affected"})), "not needed");
        assert_eq!(mitigations(None), "");
    }

    #[test]
    fn releases_are_ordered_by_their_numbers() {
        let mut all = ["1.9.0", "1.27.3", "1.27.10", "0.1.0 abc"];
        all.sort_by(|a, b| release_order(a, b));
        assert_eq!(all, ["0.1.0 abc", "1.9.0", "1.27.3", "1.27.10"]);
    }

    #[test]
    fn settings_are_in_words_and_sizes_derived_from_memory_are_rounded() {
        let of = |name: &str, value: Option<Value>| {
            let mut run = Run::default();
            let environment = &mut run.header.environment;
            environment.insert("rustc".to_owned(), "rustc 1.95.0".into());
            environment.extend(value.map(|value| (name.to_owned(), value)));
            setting(&run, name)
        };
        for (name, value, expected) in [
            ("rustflags", None, "none"),
            (
                "rustflags",
                Some(json!("-C target-cpu=native")),
                "-C target-cpu=native",
            ),
            ("clock_source", None, ""),
            ("clock_source", Some(json!("hpet")), "hpet"),
            (
                "libc",
                Some(json!("GNU C Library (Debian GLIBC 2.36-9) stable")),
                "Debian GLIBC 2.36-9",
            ),
            ("libc", Some(json!("musl")), "musl"),
            ("cgroup_cpus_ratio", Some(json!(1.5)), "1.5"),
            ("cgroup_pids_max", Some(json!("unlimited")), "unlimited"),
            ("cgroup_pids_max", Some(json!(10_813)), "11,000"),
            ("cgroup_pids_max", Some(json!(10_790)), "11,000"),
            ("processes_limit_count", Some(json!(96_365)), "96,000"),
            ("stack_limit_bytes", Some(json!(u64::MAX)), "unlimited"),
            ("stack_limit_bytes", Some(json!(8 << 20)), "8 MiB"),
        ] {
            let said = of(name, value.clone()).replace('\u{a0}', " ");
            assert_eq!(said, expected, "{name} {value:?}");
        }
        assert_eq!(
            [0, 7, 99, 995, 8_241_553].map(rounded),
            [0, 7, 99, 1_000, 8_200_000]
        );
    }

    #[test]
    fn runtimes_of_other_languages_and_of_versions_are_told() {
        let mut run = Run::default();
        run.header.lanes = [
            ("tokio", "rust 1.95.0", "tokio 1.54.1"),
            ("go", "go 1.27.3", "go 1.27.3"),
        ]
        .map(lane)
        .into();
        assert_eq!(other_runtimes(&run), "none");
        run.header.lanes.extend(
            [
                ("tokio@1.47", "rust 1.95.0", "tokio 1.47.2"),
                ("java-virtual", "java 21.0.5", "OpenJDK 21.0.5+11"),
                ("thread@base", "rust 1.95.0", "std 1.95.0"),
            ]
            .map(lane),
        );
        assert_eq!(
            other_runtimes(&run),
            "OpenJDK 21.0.5+11, java 21.0.5, tokio 1.47.2"
        );
    }

    fn lane((name, language, runtime): (&str, &str, &str)) -> Lane {
        Lane {
            name: name.to_owned(),
            language: language.to_owned(),
            runtime: runtime.to_owned(),
            ..Lane::default()
        }
    }

    #[test]
    fn chosen_word_is_the_one_in_brackets() {
        assert_eq!(chosen("always [madvise] never"), "madvise");
        assert_eq!(chosen("never"), "never");
    }
}
