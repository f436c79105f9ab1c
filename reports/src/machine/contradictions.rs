//! Contradictions between a host's fields and its raw facts: the file was edited, or it mixes two
//! machines.

use serde_json::Value;

use crate::schema::{Cores, Host};

/// The first contradiction. `host` is as read from the file, before [`complete`](super::complete).
pub(crate) fn contradiction(host: &Host) -> Option<String> {
    let found = counts(host).or_else(|| lists(host));
    found.or_else(|| names(host))
}

fn counts(host: &Host) -> Option<String> {
    let machine = &host.machine;
    let (sockets, cores, threads) = (
        machine.sockets_count,
        machine.cores_count,
        machine.threads_count,
    );
    let sum = |of: fn(&Cores) -> u32| {
        let counts = host.cores.iter().map(of);
        let known = counts.map(|count| (count > 0).then_some(u64::from(count)));
        let sum: Option<u64> = known.sum();
        sum.filter(|sum| *sum > 0)
    };
    let sums = [
        ("cores", cores, sum(|kind| kind.cores_count)),
        ("hardware threads", threads, sum(|kind| kind.threads_count)),
    ];
    for (what, whole, sum) in sums {
        if let Some(sum) = sum.filter(|sum| whole > 0 && *sum != u64::from(whole)) {
            return Some(format!("{whole} {what}, and {sum} by its kinds of core"));
        }
    }
    let is_more = |a: u32, b: u32| a > 0 && b > 0 && a > b;
    if is_more(cores, threads) {
        return Some(format!("{cores} cores, and {threads} hardware threads"));
    }
    is_more(sockets, cores).then(|| format!("{sockets} sockets, and {cores} cores"))
}

fn lists(host: &Host) -> Option<String> {
    let differs = |list: &str, count: u32| {
        let listed = ranges(list).map(|ranges| size(&ranges));
        (count > 0 && listed.is_some_and(|listed| listed != u64::from(count)))
            .then(|| format!("{count} hardware threads, and the CPUs {list}"))
    };
    let of_kinds = host
        .cores
        .iter()
        .find_map(|kind| differs(&kind.cpus, kind.threads_count));
    let online = host.facts.get("cpus_online").and_then(Value::as_str);
    of_kinds.or_else(|| differs(online?, host.machine.threads_count))
}

/// Checks the CPU's name. Names of Arm CPUs are not checked: they are made from numbers, by tables
/// that grow.
fn names(host: &Host) -> Option<String> {
    let of_old_file = host.facts.get("cpuinfo");
    let of_old_file = of_old_file.and_then(|fields| fields.get("model name")?.as_str());
    let is_arm = |kind: &&Cores| kind.cpuinfo.contains_key("CPU implementer");
    let of_kinds = host.cores.iter().filter(|kind| !is_arm(kind));
    let raw = of_kinds.filter_map(|kind| Some(kind.cpuinfo.get("model name")?.as_str()));
    let plain = |name: &str| name.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = plain(&host.machine.cpu_model);
    let mut raw = raw.chain(of_old_file.filter(|_| host.cores.is_empty()));
    let other = raw.find(|raw| !said.contains(&plain(raw)))?;
    Some(format!(
        "the CPU {}, and {other} by its fields",
        host.machine.cpu_model
    ))
}

/// A list of CPUs such as `0-3,8`, in ascending order; `None` for other text.
pub(crate) fn ranges(list: &str) -> Option<Vec<(u32, u32)>> {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    let parts: Option<Vec<(u32, u32)>> = list.split(',').map(part).collect();
    parts.filter(|parts| {
        parts.iter().all(|(first, last)| first <= last)
            && parts.windows(2).all(|pair| pair[0].1 < pair[1].0)
    })
}

fn size(ranges: &[(u32, u32)]) -> u64 {
    let sizes = ranges.iter();
    sizes.map(|(first, last)| u64::from(last - first) + 1).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::MachineKeyInputs;

    fn host() -> Host {
        Host {
            machine: MachineKeyInputs {
                cpu_model: "AMD  EPYC".into(),
                sockets_count: 1,
                cores_count: 4,
                threads_count: 8,
                ..MachineKeyInputs::default()
            },
            cores: vec![Cores {
                cpus: "0-3,8-11".into(),
                cores_count: 4,
                threads_count: 8,
                cpuinfo: [("model name".to_owned(), "AMD EPYC".to_owned())].into(),
                ..Cores::default()
            }],
            facts: [("cpus_online".to_owned(), json!("0-3,8-11"))].into(),
            ..Host::default()
        }
    }

    #[test]
    fn contradictory_facts_are_reported() {
        assert_eq!(contradiction(&host()), None);
        type Edit = fn(&mut Host);
        let edits: [(Edit, &str); 7] = [
            (
                |host| host.machine.cores_count = 64,
                "64 cores, and 4 by its kinds of core",
            ),
            (
                |host| host.machine.threads_count = 16,
                "16 hardware threads, and 8 by its kinds of core",
            ),
            (
                |host| host.machine.sockets_count = 5,
                "5 sockets, and 4 cores",
            ),
            (
                |host| host.machine.cpu_model = "AMD Ryzen".into(),
                "the CPU AMD Ryzen, and AMD EPYC by its fields",
            ),
            (
                |host| host.cores[0].cpus = "0-15".into(),
                "8 hardware threads, and the CPUs 0-15",
            ),
            (
                |host| drop(host.facts.insert("cpus_online".into(), json!("0-127"))),
                "8 hardware threads, and the CPUs 0-127",
            ),
            (
                |host| {
                    // An older file has the fields of the first CPU as a fact.
                    host.cores.clear();
                    host.facts
                        .insert("cpuinfo".into(), json!({"model name": "Intel"}));
                },
                "the CPU AMD  EPYC, and Intel by its fields",
            ),
        ];
        for (edit, words) in edits {
            let mut host = host();
            edit(&mut host);
            assert_eq!(contradiction(&host).as_deref(), Some(words));
        }
    }

    #[test]
    fn unknown_facts_contradict_nothing() {
        let mut unknown = host();
        unknown.machine.cores_count = 0;
        unknown.cores[0].cores_count = 0;
        unknown.cores[0].cpuinfo.clear();
        unknown.facts.clear();
        assert_eq!(contradiction(&unknown), None);
        assert_eq!(contradiction(&Host::default()), None);
    }

    #[test]
    fn cpu_lists_in_the_kernels_format_are_parsed() {
        assert_eq!(ranges("0-3,8"), Some(vec![(0, 3), (8, 8)]));
        assert_eq!(size(&[(0, u32::MAX)]), 1 << 32);
        for wrong in ["", "3-0", "0-3,2", "x", "0-"] {
            assert_eq!(ranges(wrong), None, "{wrong}");
        }
    }
}
