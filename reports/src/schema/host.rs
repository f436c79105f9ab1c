//! The hardware, and the key by which runs of equal machines are known.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Extra;

/// The version of the rule that makes [`MachineKeyInputs::key`].
pub const MACHINE_KEY_VERSION: u32 = 1;

/// The machine that a run was taken on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// What a person calls the machine; may be empty. Never part of the key.
    #[serde(default)]
    pub name: String,
    /// What the machine key is made of.
    pub machine: MachineKeyInputs,
    /// Memory of the whole machine.
    #[serde(default)]
    pub memory_bytes: u64,
    /// The operating system and its release, such as `Linux 6.18.0`.
    #[serde(default)]
    pub operating_system: String,
    /// Raw facts by name (`/proc/cpuinfo` fields, DMI, mitigations), so that
    /// a later rule can make its key from old files.
    #[serde(default)]
    pub facts: BTreeMap<String, Value>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// What tells one kind of machine from another: not frequency, bogomips or
/// host name, which differ between equal machines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineKeyInputs {
    /// The CPU's architecture, such as `x86_64`.
    pub architecture: String,
    /// The CPU's model name.
    pub cpu_model: String,
    /// Family, model and stepping, or implementer, part and revision.
    #[serde(default)]
    pub cpu_stepping: String,
    /// CPU packages.
    pub sockets_count: u32,
    /// Physical cores over all packages.
    pub cores_count: u32,
    /// Hardware threads over all cores.
    pub threads_count: u32,
    /// NUMA nodes.
    #[serde(default)]
    pub nodes_count: u32,
    /// Caches, one entry a level and kind, from the first level up.
    #[serde(default)]
    pub caches: Vec<Cache>,
    /// The hypervisor's class, such as `kvm`; `none` on bare metal.
    #[serde(default)]
    pub hypervisor: String,
}

/// One cache of one core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cache {
    /// The level, from 1.
    pub level: u32,
    /// `data`, `instruction` or `unified`.
    pub kind: String,
    /// The size of one such cache.
    pub size_bytes: u64,
    /// How many hardware threads share one.
    #[serde(default)]
    pub shared_by_count: u32,
}

impl MachineKeyInputs {
    /// The machine key: equal for equal inputs, short enough to read.
    ///
    /// It is the key's version, the architecture and FNV-1a (64 bits) over
    /// the inputs, each field ended by a byte that no field holds. It tells
    /// machines apart and proves nothing.
    #[must_use]
    pub fn key(&self) -> String {
        let mut text = format!(
            "{}\u{1f}{}\u{1f}{}\u{1f}{}\u{1f}{}\u{1f}{}\u{1f}{}\u{1f}{}\u{1f}",
            self.architecture,
            self.cpu_model
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
            self.cpu_stepping,
            self.sockets_count,
            self.cores_count,
            self.threads_count,
            self.nodes_count,
            self.hypervisor,
        );
        for cache in &self.caches {
            text.push_str(&format!(
                "L{} {} {} {}\u{1f}",
                cache.level, cache.kind, cache.size_bytes, cache.shared_by_count
            ));
        }
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("m{MACHINE_KEY_VERSION}-{}-{hash:016x}", self.architecture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epyc() -> MachineKeyInputs {
        MachineKeyInputs {
            architecture: "x86_64".into(),
            cpu_model: "AMD EPYC".into(),
            sockets_count: 1,
            cores_count: 2,
            threads_count: 2,
            ..MachineKeyInputs::default()
        }
    }

    #[test]
    fn key_of_the_same_machine_is_the_same_whatever_the_spacing_of_its_name() {
        let spaced = MachineKeyInputs {
            cpu_model: " AMD  EPYC ".into(),
            ..epyc()
        };
        assert_eq!(epyc().key(), spaced.key());
    }

    #[test]
    fn key_changes_with_the_topology() {
        let smt = MachineKeyInputs {
            threads_count: 4,
            ..epyc()
        };
        assert_ne!(epyc().key(), smt.key());
    }

    #[test]
    fn key_is_fixed_for_ever_within_its_version() {
        assert_eq!(epyc().key(), "m1-x86_64-ba412c7b16a004d2");
    }
}
