//! The description of a machine, computed from the raw facts when a file is read. So a better rule
//! improves old files too.
//!
//! An unknown fact is [`UNKNOWN`], 0 or absent.

mod contradictions;
mod hypervisor;
mod names;

use crate::format::parameter;
use crate::schema::{CoreKind, Cores, Host, MachineKeyInputs, UNKNOWN};

pub(crate) use contradictions::{contradiction, ranges};

/// Computes [`Host::machine`] from the raw facts, if there are any.
pub fn complete(host: &mut Host) {
    let cores = match host.cores.as_slice() {
        [] => cores_of_old_file(host),
        cores => cores.to_vec(),
    };
    if cores.is_empty() {
        return;
    }
    let virtually = hypervisor::class(&host.machine.architecture, &cores, &host.facts);
    let instance_type = hypervisor::instance_type(&virtually, &host.facts);
    let machine = &mut host.machine;
    let kinds: Vec<CoreKind> = cores.into_iter().map(kind).collect();
    let joined = |of: fn(&CoreKind) -> &str| {
        let texts = kinds.iter().map(of).filter(|text| !text.is_empty());
        texts.collect::<Vec<_>>().join(" + ")
    };
    // If one part is unknown (0), so is the sum.
    let sum = |of: fn(&CoreKind) -> u32| {
        let counts = kinds.iter().map(of);
        counts.reduce(|sum, count| match sum.min(count) {
            0 => 0,
            _ => sum.saturating_add(count),
        })
    };
    machine.cpu_model = joined(|kind| &kind.name);
    machine.cpu_stepping = joined(|kind| &kind.stepping);
    machine.cores_count = sum(|kind| kind.cores_count).unwrap_or(0);
    machine.threads_count = sum(|kind| kind.threads_count).unwrap_or(0);
    machine.caches = kinds
        .first()
        .map_or_else(Vec::new, |kind| kind.caches.clone());
    machine.hypervisor = virtually;
    machine.instance_type = instance_type;
    machine.kinds = kinds;
}

fn cores_of_old_file(host: &Host) -> Vec<Cores> {
    let Some(cpuinfo) = host.facts.get("cpuinfo") else {
        return Vec::new();
    };
    let Ok(cpuinfo) = serde_json::from_value(cpuinfo.clone()) else {
        return Vec::new();
    };
    let machine = &host.machine;
    let online = host.facts.get("cpus_online");
    vec![Cores {
        cpus: online
            .and_then(|list| list.as_str())
            .unwrap_or_default()
            .to_owned(),
        cores_count: machine.cores_count,
        threads_count: machine.threads_count,
        cpuinfo,
        caches: machine.caches.clone(),
        ..Cores::default()
    }]
}

fn kind(cores: Cores) -> CoreKind {
    let name = names::name(&cores.cpuinfo);
    // A hybrid CPU's kinds of core have the same name, so their role is added.
    let role = match cores.counted_by.as_deref() {
        Some("cpu_core") => ", performance cores",
        Some("cpu_atom") => ", efficiency cores",
        Some("cpu_lowpower") => ", low-power cores",
        _ => "",
    };
    CoreKind {
        name: format!("{name}{role}"),
        stepping: names::stepping(&cores.cpuinfo),
        cores_count: cores.cores_count,
        threads_count: cores.threads_count,
        caches: cores.caches,
    }
}

/// A machine's counts as text: `1 socket, 2 cores, 4 hardware threads, 1 NUMA node`.
#[must_use]
pub fn topology(machine: &MachineKeyInputs) -> String {
    [
        count("sockets_count", machine.sockets_count),
        size(machine),
        count("NUMA_nodes_count", machine.nodes_count),
    ]
    .join(", ")
}

/// The numbers of cores and of hardware threads as text.
#[must_use]
pub fn size(machine: &MachineKeyInputs) -> String {
    let cores = count("cores_count", machine.cores_count);
    let threads = count("hardware_threads_count", machine.threads_count);
    format!("{cores}, {threads}")
}

fn count(name: &str, count: u32) -> String {
    match count {
        0 => format!(
            "{} {UNKNOWN}",
            name.trim_end_matches("_count").replace('_', " ")
        ),
        count => parameter(name, count.into()),
    }
}

/// The kinds of core as text: `4 × Cortex-A76 + 4 × Cortex-A55`. A single kind has no count.
#[must_use]
pub fn cpu(machine: &MachineKeyInputs) -> String {
    let kinds = machine.kinds();
    if let [kind] = kinds.as_slice() {
        return kind.name.clone();
    }
    let texts = kinds.iter().map(|kind| match kind.cores_count {
        0 => format!("{} × {}", kind.threads_count, kind.name),
        cores => format!("{cores} × {}", kind.name),
    });
    texts.collect::<Vec<_>>().join(" + ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn host_of_old_file(architecture: &str, facts: &[(&str, Value)]) -> Host {
        let named = |(name, fact): &(&str, Value)| ((*name).to_owned(), fact.clone());
        let mut host = Host {
            machine: MachineKeyInputs {
                architecture: architecture.into(),
                cpu_model: "implementer 0x41 part 0xd0c".into(),
                sockets_count: 1,
                cores_count: 2,
                threads_count: 2,
                hypervisor: "none".into(),
                ..MachineKeyInputs::default()
            },
            facts: facts.iter().map(named).collect(),
            ..Host::default()
        };
        complete(&mut host);
        host
    }

    #[test]
    fn old_files_get_the_present_names_and_key() {
        let cpuinfo = json!({"CPU implementer": "0x41", "CPU variant": "0x3",
            "CPU part": "0xd0c", "CPU revision": "1"});
        let old = host_of_old_file("aarch64", &[("cpuinfo", cpuinfo)]);
        assert_eq!(old.machine.cpu_model, "Neoverse-N1");
        assert_eq!(old.machine.cpu_stepping, "0x41/0x3/0xd0c/1");
        // The old file said "none" although it only lacked a sign of a hypervisor.
        assert_eq!(
            old.machine.hypervisor, UNKNOWN,
            "it named none for want of a sign"
        );
        let fields: BTreeMap<String, String> =
            serde_json::from_value(old.facts["cpuinfo"].clone()).unwrap();
        let mut new = Host {
            machine: MachineKeyInputs {
                architecture: "aarch64".into(),
                sockets_count: 1,
                ..MachineKeyInputs::default()
            },
            cores: vec![Cores {
                cpus: "0-1".into(),
                cores_count: 2,
                threads_count: 2,
                cpuinfo: fields,
                ..Cores::default()
            }],
            ..Host::default()
        };
        complete(&mut new);
        assert_eq!(new.machine.key(), old.machine.key());
    }

    #[test]
    fn file_without_raw_facts_keeps_its_fields() {
        let old = host_of_old_file("riscv64", &[]);
        assert_eq!(old.machine.cpu_model, "implementer 0x41 part 0xd0c");
        assert_eq!(old.machine.hypervisor, "none");
        assert!(old.machine.kinds.is_empty());
    }

    #[test]
    fn unknown_facts_are_shown_as_unknown() {
        let machine = MachineKeyInputs {
            threads_count: 4,
            nodes_count: 1,
            ..MachineKeyInputs::default()
        };
        assert_eq!(
            topology(&machine).replace('\u{a0}', " "),
            "sockets unknown, cores unknown, 4 hardware threads, 1 NUMA node"
        );
    }
}
