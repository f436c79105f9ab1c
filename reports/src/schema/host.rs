//! The hardware, and the key that identifies runs of equal machines.

use std::collections::BTreeMap;
use std::fmt::Write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Extra;

/// The version of [`MachineKeyInputs::key`]. Version 1 used only the first CPU, and no instance
/// type. Version 2 used the hypervisor's class, which some files of a machine lack.
pub const MACHINE_KEY_VERSION: u32 = 3;

/// The value of a fact that the host does not show.
pub const UNKNOWN: &str = "unknown";

/// The machine of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// The machine's name in reports; may be empty.
    #[serde(default)]
    pub name: String,
    /// The fields of the machine key. Readers compute them again from `cores` and `facts`: see
    /// [`crate::machine`].
    pub machine: MachineKeyInputs,
    /// The online CPUs by kind, as the kernel describes them. Older files have the fields of the
    /// first CPU as the fact `cpuinfo` instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<Cores>,
    /// Memory of the whole machine.
    #[serde(default)]
    pub memory_bytes: u64,
    /// The operating system and its release, such as `Linux 6.18.0`.
    #[serde(default)]
    pub operating_system: String,
    /// Raw facts by name (DMI, device tree, mitigations), from which a later rule can make the key
    /// of an old file.
    #[serde(default)]
    pub facts: BTreeMap<String, Value>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The fields that distinguish kinds of machine. Equal machines may differ in frequency, bogomips
/// or host name, so these are not included. A count of 0 and an empty text mean unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineKeyInputs {
    /// The CPU's architecture, such as `x86_64`.
    pub architecture: String,
    /// The names of the kinds of core.
    pub cpu_model: String,
    /// Family, model and stepping, or implementer, variant, part and revision; of each kind.
    #[serde(default)]
    pub cpu_stepping: String,
    /// CPU packages.
    pub sockets_count: u32,
    /// Physical cores over all packages.
    pub cores_count: u32,
    /// Online hardware threads over all cores.
    pub threads_count: u32,
    /// NUMA nodes.
    #[serde(default)]
    pub nodes_count: u32,
    /// Caches of the first kind of core, from the first level up.
    #[serde(default)]
    pub caches: Vec<Cache>,
    /// The hypervisor's class, such as `kvm`; `none` on bare metal, `vm` for an unknown class,
    /// `unknown` if it is not known whether there is one.
    #[serde(default)]
    pub hypervisor: String,
    /// The cloud's name for this size of machine, such as `c7g.large`; `unknown` if a virtual
    /// machine does not show it, empty for others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance_type: String,
    /// Each kind of core; empty if only the fields above are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<CoreKind>,
}

/// Cores of one kind. A hybrid or big.LITTLE CPU has several kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoreKind {
    /// The model's name, such as `Cortex-A76`.
    pub name: String,
    /// Family, model and stepping, or implementer, variant, part and revision.
    #[serde(default)]
    pub stepping: String,
    /// Physical cores of this kind.
    pub cores_count: u32,
    /// Online hardware threads of this kind.
    pub threads_count: u32,
    /// Caches of such a core.
    #[serde(default)]
    pub caches: Vec<Cache>,
}

/// Cores of one kind as the kernel describes them: the source of a [`CoreKind`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cores {
    /// Their online hardware threads, as a list such as `0-3,8`.
    pub cpus: String,
    /// Physical cores; 0 is unknown.
    pub cores_count: u32,
    /// Online hardware threads.
    pub threads_count: u32,
    /// The fields of the first core in `/proc/cpuinfo`, without serial numbers.
    #[serde(default)]
    pub cpuinfo: BTreeMap<String, String>,
    /// The unit that counts events of these cores on a hybrid CPU: `cpu_core`, `cpu_atom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_by: Option<String>,
    /// The kernel's measure of their speed: 1,024 is the machine's fastest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// Caches of such a core.
    #[serde(default)]
    pub caches: Vec<Cache>,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One cache of one core.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cache {
    /// The level, from 1.
    pub level: u32,
    /// `data`, `instruction` or `unified`.
    pub kind: String,
    /// The size of one such cache; 0 is unknown.
    pub size_bytes: u64,
    /// How many hardware threads share one such cache.
    #[serde(default)]
    pub shared_by_count: u32,
}

impl MachineKeyInputs {
    /// The kinds of core: at least one.
    #[must_use]
    pub fn kinds(&self) -> Vec<CoreKind> {
        if !self.kinds.is_empty() {
            return self.kinds.clone();
        }
        vec![CoreKind {
            name: self.cpu_model.clone(),
            stepping: self.cpu_stepping.clone(),
            cores_count: self.cores_count,
            threads_count: self.threads_count,
            caches: self.caches.clone(),
        }]
    }

    /// The machine key: equal for equal inputs, short enough to read.
    ///
    /// It has the key's version, the architecture and FNV-1a (64 bits) over the inputs, each field
    /// ended by a byte that no field contains. It includes whether there is a hypervisor, but not
    /// its class, which some runs of a machine do not know.
    #[must_use]
    pub fn key(&self) -> String {
        let mut text = String::new();
        let mut field = |value: &dyn std::fmt::Display| {
            write!(text, "{value}\u{1f}").expect("a text takes all that is written to it");
        };
        field(&self.architecture);
        for count in [self.sockets_count, self.nodes_count] {
            field(&count);
        }
        field(&match self.hypervisor.as_str() {
            told @ ("" | "none" | UNKNOWN) => told,
            _ => "virtual",
        });
        field(&self.instance_type);
        for kind in self.kinds() {
            field(&kind.name.split_whitespace().collect::<Vec<_>>().join(" "));
            field(&kind.stepping);
            field(&kind.cores_count);
            field(&kind.threads_count);
            for cache in &kind.caches {
                field(&format_args!(
                    "L{} {} {} {}",
                    cache.level, cache.kind, cache.size_bytes, cache.shared_by_count
                ));
            }
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
    fn key_does_not_depend_on_spaces_in_the_name() {
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
    fn key_changes_with_the_kinds_of_core_and_their_order_of_size() {
        let kind = |name: &str, cores_count| CoreKind {
            name: name.into(),
            cores_count,
            ..CoreKind::default()
        };
        let of = |kinds: &[CoreKind]| {
            let kinds = kinds.to_vec();
            MachineKeyInputs { kinds, ..epyc() }.key()
        };
        let keys = [
            epyc().key(),
            of(&[kind("A76", 4), kind("A55", 4)]),
            of(&[kind("A76", 2), kind("A55", 6)]),
            of(&[kind("A76", 4)]),
        ];
        let distinct: std::collections::BTreeSet<&String> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len(), "{keys:?}");
    }

    #[test]
    fn key_does_not_depend_on_the_class_of_the_hypervisor() {
        let of = |hypervisor: &str| {
            let hypervisor = hypervisor.to_owned();
            MachineKeyInputs {
                hypervisor,
                ..epyc()
            }
            .key()
        };
        assert_eq!(of("kvm"), of("vm"));
        let distinct = std::collections::BTreeSet::from(["kvm", "none", UNKNOWN].map(of));
        assert_eq!(distinct.len(), 3);
    }

    #[test]
    fn key_of_one_kind_of_core_equals_that_of_the_plain_fields() {
        let kinds = epyc().kinds();
        assert_eq!(MachineKeyInputs { kinds, ..epyc() }.key(), epyc().key());
    }

    #[test]
    fn key_of_a_version_never_changes() {
        assert_eq!(epyc().key(), "m3-x86_64-cf9d3c493785acbf");
    }
}
