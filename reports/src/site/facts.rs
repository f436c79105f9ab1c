//! The facts of a machine and its software. The site shows them beside the machine's figures, and
//! readers can filter by them. Two setups of a machine differ in at least one of them.

use std::cmp::Ordering;

use serde::Serialize;
use serde_json::Value;

use crate::machine;
use crate::run::Run;
use crate::schema::UNKNOWN;

/// A named fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fact {
    /// The name.
    pub name: &'static str,
    /// The value; `unknown` if no source has it.
    pub value: String,
}

impl Fact {
    /// Whether the value is known completely: for a hypervisor, with its class.
    #[must_use]
    pub fn is_told(&self) -> bool {
        !["", UNKNOWN, "vm"].contains(&self.value.as_str())
    }

    /// The names in their order, those of the machine first.
    pub const NAMES: [&'static str; 17] = [
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
        "suite",
    ];
}

pub(super) fn of(run: &Run) -> Vec<Fact> {
    let all = Fact::NAMES.iter().zip(values(run));
    all.map(|(name, value)| Fact {
        name,
        value: match value.as_str() {
            "" => UNKNOWN.to_owned(),
            _ => value,
        },
    })
    .collect()
}

fn values(run: &Run) -> [String; 17] {
    let header = &run.header;
    let (host, machine) = (&header.host, &header.host.machine);
    let named = |name: &str| text(header.environment.get(name));
    let count = |count: u32| match count {
        0 => String::new(),
        count => count.to_string(),
    };
    let threads = match (machine.threads_count, machine.cores_count) {
        (threads, cores) if threads > 0 && cores > 0 && threads % cores == 0 => {
            (threads / cores).to_string()
        }
        // Some cores have several threads and some have one, as in hybrid CPUs.
        (threads, cores) if threads > 0 && cores > 0 => "mixed".to_owned(),
        _ => String::new(),
    };
    let virtually = match machine.instance_type.as_str() {
        "" | UNKNOWN => machine.hypervisor.clone(),
        size => format!("{} ({size})", machine.hypervisor),
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
    let commit: String = named("git_commit").chars().take(9).collect();
    let rust = named("rustc");
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
        named("governor"),
        chosen(&named("thp")),
        named("allocator"),
        rust.split_whitespace().nth(1).unwrap_or("").to_owned(),
        release("go"),
        release("tokio"),
        format!("{} {commit}", header.threadbare_version)
            .trim()
            .to_owned(),
    ]
}

fn text(value: Option<&Value>) -> String {
    value.map_or_else(String::new, |value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// The word in brackets, with which the kernel marks the chosen value.
fn chosen(text: &str) -> String {
    let inner = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    inner.map_or_else(|| text.to_owned(), |(word, _)| word.to_owned())
}

/// Whether the kernel mitigates any vulnerability of the CPU, from its report about each.
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

/// Orders releases such as `1.27.3` by their numbers.
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
    fn chosen_word_is_the_one_in_brackets() {
        assert_eq!(chosen("always [madvise] never"), "madvise");
        assert_eq!(chosen("never"), "never");
    }
}
