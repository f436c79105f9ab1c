//! The hardware: CPU, topology, caches, memory, hypervisor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reports::schema::{Cache, Host, MachineKeyInputs};
use serde_json::{Value, json};
use sysinfo::System;

use super::{number, text};
use crate::cpus::Cpus;

/// The host that this program runs on.
#[must_use]
pub fn host() -> Host {
    let cpuinfo = CpuInfo::parse(&text("/proc/cpuinfo").unwrap_or_default());
    let sys = Path::new("/sys/devices/system");
    let topology = Topology::read(&sys.join("cpu"));
    let machine = MachineKeyInputs {
        architecture: std::env::consts::ARCH.to_owned(),
        cpu_model: cpuinfo.model(),
        cpu_stepping: cpuinfo.stepping(),
        sockets_count: topology.sockets_count,
        cores_count: topology.cores_count,
        threads_count: topology.threads_count,
        nodes_count: count_entries(&sys.join("node"), "node"),
        caches: caches(&sys.join("cpu/cpu0/cache")),
        hypervisor: hypervisor(&cpuinfo),
    };
    // A system call, which needs no /proc.
    let memory_bytes = nix::sys::sysinfo::sysinfo().map_or(0, |facts| facts.ram_total());
    Host {
        name: System::host_name().unwrap_or_default(),
        machine,
        memory_bytes,
        operating_system: operating_system(),
        facts: facts(&cpuinfo),
        ..Host::default()
    }
}

fn operating_system() -> String {
    let kernel = System::kernel_version().unwrap_or_default();
    match System::long_os_version() {
        Ok(name) => format!("{name}, kernel {kernel}"),
        Err(_) => format!("Linux {kernel}"),
    }
}

/// The fields of the first CPU in `/proc/cpuinfo`.
struct CpuInfo(BTreeMap<String, String>);

impl CpuInfo {
    fn parse(text: &str) -> Self {
        let first = text.split("\n\n").next().unwrap_or_default();
        let fields = first.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        });
        Self(fields.collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn model(&self) -> String {
        // Arm CPUs have no name here, only the maker's and the part's number.
        match (
            self.get("model name"),
            self.get("CPU implementer"),
            self.get("CPU part"),
        ) {
            (Some(name), ..) => name.to_owned(),
            (None, Some(maker), Some(part)) => format!("implementer {maker} part {part}"),
            _ => UNKNOWN.to_owned(),
        }
    }

    fn stepping(&self) -> String {
        let fields = match self.get("CPU implementer") {
            Some(_) => ["CPU implementer", "CPU part", "CPU revision"],
            None => ["cpu family", "model", "stepping"],
        };
        fields
            .iter()
            .filter_map(|name| self.get(name))
            .collect::<Vec<_>>()
            .join("/")
    }

    fn has_flag(&self, flag: &str) -> bool {
        let flags = self
            .get("flags")
            .or_else(|| self.get("Features"))
            .unwrap_or_default();
        flags.split_whitespace().any(|other| other == flag)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Topology {
    sockets_count: u32,
    cores_count: u32,
    threads_count: u32,
}

impl Topology {
    fn read(folder: &Path) -> Self {
        let online = text(folder.join("online")).and_then(|list| list.parse::<Cpus>().ok());
        let Some(online) = online else {
            let threads = System::physical_core_count().unwrap_or(1);
            let count = u32::try_from(threads).unwrap_or(1);
            return Self {
                sockets_count: 1,
                cores_count: count,
                threads_count: count,
            };
        };
        let mut sockets = BTreeSet::new();
        let mut cores = BTreeSet::new();
        for cpu in online.numbers() {
            let topology = folder.join(format!("cpu{cpu}/topology"));
            let socket: i64 = number(topology.join("physical_package_id")).unwrap_or(0);
            // A core's id is unique within its die at most.
            let die: i64 = number(topology.join("die_id")).unwrap_or(0);
            let core = number(topology.join("core_id"))
                .unwrap_or_else(|| i64::try_from(*cpu).unwrap_or(0));
            sockets.insert(socket);
            cores.insert((socket, die, core));
        }
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            sockets_count: count(sockets.len()),
            cores_count: count(cores.len()),
            threads_count: count(online.count()),
        }
    }
}

fn count_entries(folder: &Path, prefix: &str) -> u32 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 1;
    };
    let is_one = |name: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.parse::<u32>().is_ok())
    };
    let count = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_one(name))
        .count();
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

fn caches(folder: &Path) -> Vec<Cache> {
    let caches = (0..8).map_while(|index| {
        let folder = folder.join(format!("index{index}"));
        let shared: Option<Cpus> = text(folder.join("shared_cpu_list"))?.parse().ok();
        Some(Cache {
            level: number(folder.join("level"))?,
            kind: text(folder.join("type"))?.to_lowercase(),
            size_bytes: size_bytes(&text(folder.join("size"))?)?,
            shared_by_count: shared.map_or(0, |cpus| u32::try_from(cpus.count()).unwrap_or(0)),
        })
    });
    caches.collect()
}

fn size_bytes(text: &str) -> Option<u64> {
    let (digits, scale) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) if text.ends_with('K') => (digits, 1 << 10),
        Some(digits) if text.ends_with('M') => (digits, 1 << 20),
        Some(digits) => (digits, 1 << 30),
        None => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

/// What a host without `/proc` does not say.
pub(crate) const UNKNOWN: &str = "unknown";

/// The hypervisor's class, by what it shows of itself; `vm` where only the CPU
/// says that there is one; [`UNKNOWN`] where the CPU says nothing.
fn hypervisor(cpuinfo: &CpuInfo) -> String {
    if cpuinfo.0.is_empty() {
        return UNKNOWN.to_owned();
    }
    let said = [
        "/sys/class/dmi/id/sys_vendor",
        "/sys/class/dmi/id/product_name",
        "/sys/hypervisor/type",
    ]
    .into_iter()
    .filter_map(text)
    .collect::<Vec<_>>()
    .join(" ");
    hypervisor_class(&said, cpuinfo.has_flag("hypervisor")).to_owned()
}

fn hypervisor_class(said: &str, flag: bool) -> &'static str {
    const SIGNS: [(&str, &str); 12] = [
        ("Amazon EC2", "nitro"),
        ("Google", "gce"),
        ("Microsoft", "hyperv"),
        ("VMware", "vmware"),
        ("VirtualBox", "virtualbox"),
        ("innotek", "virtualbox"),
        ("QEMU", "kvm"),
        ("KVM", "kvm"),
        ("OpenStack", "kvm"),
        ("Firecracker", "firecracker"),
        ("xen", "xen"),
        ("Xen", "xen"),
    ];
    match SIGNS.iter().find(|(sign, _)| said.contains(sign)) {
        // A laptop by Microsoft, a bare EC2 machine: the maker alone is no VM.
        Some((_, class)) if flag => class,
        _ if flag => "vm",
        _ => "none",
    }
}

fn facts(cpuinfo: &CpuInfo) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    facts.insert("cpuinfo".to_owned(), json!(cpuinfo.0));
    for (name, path) in [
        ("cpus_online", "/sys/devices/system/cpu/online"),
        ("cpus_isolated", "/sys/devices/system/cpu/isolated"),
        ("smt", "/sys/devices/system/cpu/smt/control"),
        ("dmi_vendor", "/sys/class/dmi/id/sys_vendor"),
        ("dmi_product", "/sys/class/dmi/id/product_name"),
        (
            "microcode",
            "/sys/devices/system/cpu/cpu0/microcode/version",
        ),
    ] {
        if let Some(text) = text(path) {
            facts.insert(name.to_owned(), Value::from(text));
        }
    }
    let mitigations: BTreeMap<String, String> =
        std::fs::read_dir("/sys/devices/system/cpu/vulnerabilities")
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.file_name().into_string().ok()?, text(entry.path())?))
            })
            .collect();
    if !mitigations.is_empty() {
        facts.insert("mitigations".to_owned(), json!(mitigations));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_cpu_memory_and_a_key() {
        let host = host();
        assert!(host.machine.threads_count >= host.machine.cores_count);
        assert!(host.machine.cores_count >= host.machine.sockets_count);
        assert!(host.machine.sockets_count >= 1 && host.machine.nodes_count >= 1);
        assert!(!host.machine.cpu_model.is_empty());
        assert!(host.memory_bytes > 64 << 20, "{}", host.memory_bytes);
        assert_eq!(host.machine.key(), super::host().machine.key());
    }

    #[test]
    fn an_arm_cpu_without_a_name_is_known_by_its_numbers() {
        let info = CpuInfo::parse(
            "processor : 0\nCPU implementer : 0x41\nCPU part\t: 0xd0c\nCPU revision : 1\n\nprocessor : 1",
        );
        assert_eq!(info.model(), "implementer 0x41 part 0xd0c");
        assert_eq!(info.stepping(), "0x41/0xd0c/1");
    }

    #[test]
    fn a_hypervisor_is_told_only_where_the_cpu_has_its_flag() {
        assert_eq!(hypervisor_class("QEMU Standard PC", true), "kvm");
        assert_eq!(hypervisor_class("", true), "vm");
        assert_eq!(
            hypervisor_class("Microsoft Corporation Surface", false),
            "none"
        );
    }

    #[test]
    fn topology_counts_cores_of_each_socket_apart() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("online", "0-3\n");
        for (cpu, socket, core) in [(0, 0, 0), (1, 0, 0), (2, 1, 0), (3, 1, 1)] {
            write(
                &format!("cpu{cpu}/topology/physical_package_id"),
                &format!("{socket}\n"),
            );
            write(&format!("cpu{cpu}/topology/core_id"), &format!("{core}\n"));
        }
        let expected = Topology {
            sockets_count: 2,
            cores_count: 3,
            threads_count: 4,
        };
        assert_eq!(Topology::read(root.path()), expected);
    }

    #[test]
    fn sizes_of_caches_read_their_unit() {
        assert_eq!(size_bytes("48K"), Some(48 << 10));
        assert_eq!(size_bytes("32M"), Some(32 << 20));
        assert_eq!(size_bytes("x"), None);
    }
}
