//! The hardware as raw facts. [`reports::machine`] computes the machine's names and key from them
//! when a result file is read.
//!
//! `/proc/cpuinfo` and `/sys` are read here, because the crates `procfs` and `sysinfo` do not read
//! mainframes, kinds of cores, or the files of another machine, which the tests need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use reports::schema::{Cache, Cores, Host, MachineKeyInputs, UNKNOWN};
use serde_json::{Value, json};
use sysinfo::System;

use super::{number, text};
use crate::cpus::Cpus;

/// The host that this program runs on.
#[must_use]
pub fn host() -> Host {
    let mut host = read(Path::new("/"));
    if let Some(signature) = hypervisor_signature(&host) {
        let fact = ("hypervisor_signature".to_owned(), Value::from(signature));
        host.facts.extend([fact]);
        reports::machine::complete(&mut host);
    }
    let memory_bytes = nix::sys::sysinfo::sysinfo().map_or(0, |facts| facts.ram_total());
    Host {
        name: System::host_name().unwrap_or_default(),
        memory_bytes,
        operating_system: operating_system(),
        ..host
    }
}

fn operating_system() -> String {
    let kernel = System::kernel_version().unwrap_or_default();
    match System::long_os_version() {
        Ok(name) => format!("{name}, kernel {kernel}"),
        Err(_) => format!("Linux {kernel}"),
    }
}

#[cfg(target_arch = "x86_64")]
fn hypervisor_signature(host: &Host) -> Option<String> {
    let flags = host.cores.first()?.cpuinfo.get("flags")?;
    if !flags.split(' ').any(|flag| flag == "hypervisor") {
        return None;
    }
    let answer = std::arch::x86_64::__cpuid(0x4000_0000);
    let bytes = [answer.ebx, answer.ecx, answer.edx].map(u32::to_le_bytes);
    let name = String::from_utf8_lossy(bytes.as_flattened()).into_owned();
    let name = name.trim_matches(['\0', ' ']);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(not(target_arch = "x86_64"))]
fn hypervisor_signature(_: &Host) -> Option<String> {
    None
}

/// The machine whose `/proc`, `/sys`, `/dev` and `/run` are below `root`.
fn read(root: &Path) -> Host {
    let cpu = root.join("sys/devices/system/cpu");
    let cpuinfo = CpuInfo::parse(&text(root.join("proc/cpuinfo")).unwrap_or_default());
    let online = list(cpu.join("online")).unwrap_or_else(|| cpuinfo.numbers());
    let online_cpus: Vec<OnlineCpu> = online
        .iter()
        .map(|&number| OnlineCpu::read(root, &cpuinfo, number))
        .collect();
    let nodes = list(root.join("sys/devices/system/node/online"));
    let nodes_count = match nodes {
        Some(nodes) => nodes.len(),
        // A kernel without NUMA has one node, and no folder for nodes.
        None => usize::from(cpu.is_dir()),
    };
    let mut host = Host {
        machine: MachineKeyInputs {
            architecture: std::env::consts::ARCH.to_owned(),
            cpu_model: UNKNOWN.to_owned(),
            sockets_count: distinct(
                online_cpus
                    .iter()
                    .map(|online_cpu| online_cpu.socket.as_ref()),
            ),
            nodes_count: to_u32(nodes_count),
            hypervisor: UNKNOWN.to_owned(),
            ..MachineKeyInputs::default()
        },
        cores: kinds(online_cpus),
        facts: facts(root, online.first().copied()),
        ..Host::default()
    };
    reports::machine::complete(&mut host);
    host
}

fn list(path: PathBuf) -> Option<Vec<usize>> {
    let cpus: Cpus = text(path)?.parse().ok()?;
    Some(cpus.numbers().to_vec())
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The number of different values; 0 if one is missing.
fn distinct<'a>(of: impl Iterator<Item = Option<&'a String>>) -> u32 {
    let all: Option<BTreeSet<&String>> = of.collect();
    all.map_or(0, |all| to_u32(all.len()))
}

struct OnlineCpu {
    number: usize,
    fields: BTreeMap<String, String>,
    /// A text that only the CPUs of its core share.
    core: Option<String>,
    socket: Option<String>,
    caches: Vec<Cache>,
    counted_by: Option<String>,
    capacity: Option<u32>,
}

impl OnlineCpu {
    fn read(root: &Path, cpuinfo: &CpuInfo, cpu: usize) -> Self {
        let folder = root.join(format!("sys/devices/system/cpu/cpu{cpu}"));
        let topology = |name: &str| text(folder.join("topology").join(name));
        let fields = cpuinfo.of(cpu);
        let field = |name: &str| fields.get(name).cloned();
        let socket = topology("package_cpus_list")
            .or_else(|| topology("core_siblings_list"))
            .or_else(|| topology("physical_package_id"))
            .or_else(|| field("physical id"));
        // The number of a core is unique only within its die.
        let by_number = || {
            let die = topology("die_id").unwrap_or_default();
            let core = topology("core_id").or_else(|| field("core id"))?;
            Some(format!("{} {die} {core}", socket.as_deref().unwrap_or("")))
        };
        let core = topology("core_cpus_list")
            .or_else(|| topology("thread_siblings_list"))
            .or_else(by_number);
        let counts_this_cpu = |name: &&str| {
            let cpus = list(root.join("sys/devices").join(name).join("cpus"));
            cpus.is_some_and(|cpus| cpus.contains(&cpu))
        };
        let units = ["cpu_core", "cpu_atom", "cpu_lowpower"];
        Self {
            number: cpu,
            core,
            socket,
            caches: caches(&folder.join("cache")),
            counted_by: units.into_iter().find(counts_this_cpu).map(str::to_owned),
            capacity: number(folder.join("cpu_capacity")),
            fields,
        }
    }

    /// The facts that all CPUs of a kind share. The number of CPUs that share a cache is left out:
    /// it is smaller if one of them is offline.
    fn kind(&self) -> impl Ord + use<> {
        const FIELDS: [&str; 20] = [
            "vendor_id",
            "cpu family",
            "model",
            "model name",
            "stepping",
            "CPU implementer",
            "CPU variant",
            "CPU part",
            "CPU revision",
            "uarch",
            "isa",
            "mvendorid",
            "marchid",
            "mimpid",
            "cpu",
            "cpu model",
            "Model Name",
            "CPU Revision",
            "version",
            "machine",
        ];
        let fields = FIELDS.map(|name| self.fields.get(name).cloned());
        let cache = |cache: &Cache| (cache.level, cache.kind.clone(), cache.size_bytes);
        let caches: Vec<_> = self.caches.iter().map(cache).collect();
        (fields, caches, self.counted_by.clone())
    }
}

fn kinds(online_cpus: Vec<OnlineCpu>) -> Vec<Cores> {
    let mut by_kind: BTreeMap<_, Vec<OnlineCpu>> = BTreeMap::new();
    for online_cpu in online_cpus {
        by_kind
            .entry(online_cpu.kind())
            .or_default()
            .push(online_cpu);
    }
    let mut kinds: Vec<Vec<OnlineCpu>> = by_kind.into_values().collect();
    kinds.sort_by_key(|online_cpus| online_cpus[0].number);
    kinds.into_iter().map(cores).collect()
}

fn cores(online_cpus: Vec<OnlineCpu>) -> Cores {
    let numbers = online_cpus.iter().map(|online_cpu| online_cpu.number);
    let cpus = Cpus::of(numbers.collect()).map_or_else(String::new, |cpus| cpus.to_string());
    let cores_count = distinct(
        online_cpus
            .iter()
            .map(|online_cpu| online_cpu.core.as_ref()),
    );
    let threads_count = to_u32(online_cpus.len());
    // The number of CPUs that share a cache is that of the group with the most CPUs online.
    let all = online_cpus
        .iter()
        .map(|online_cpu| online_cpu.caches.clone());
    let caches = all.reduce(|mut widest, caches| {
        for (cache, other) in widest.iter_mut().zip(caches) {
            cache.shared_by_count = cache.shared_by_count.max(other.shared_by_count);
        }
        widest
    });
    let first = online_cpus.into_iter().next();
    Cores {
        cpus,
        cores_count,
        threads_count,
        caches: caches.unwrap_or_default(),
        counted_by: first.as_ref().and_then(|first| first.counted_by.clone()),
        capacity: first.as_ref().and_then(|first| first.capacity),
        cpuinfo: first.map(|first| first.fields).unwrap_or_default(),
        ..Cores::default()
    }
}

/// The fields of `/proc/cpuinfo`: of each CPU, and those that belong to all.
#[derive(Debug, Default)]
struct CpuInfo {
    of: BTreeMap<usize, BTreeMap<String, String>>,
    all: BTreeMap<String, String>,
}

/// Fields that differ between machines of one kind, or change all the time.
const LEFT_OUT: [&str; 6] = [
    "Serial",
    "identification",
    "processor",
    "cpu MHz",
    "apicid",
    "initial apicid",
];

impl CpuInfo {
    fn parse(text: &str) -> Self {
        let mut info = Self::default();
        for block in text.split("\n\n") {
            let mut number = None;
            let mut fields = BTreeMap::new();
            for line in block.lines() {
                let Some((name, value)) = line.split_once(':') else {
                    continue;
                };
                let (name, value) = (name.trim(), value.trim());
                if let Some(cpu) = name.strip_prefix("processor ") {
                    // A mainframe has one line for each CPU, with commas.
                    if let Ok(cpu) = cpu.trim().parse() {
                        let parts = value.split(',').filter_map(|part| part.split_once('='));
                        info.of
                            .entry(cpu)
                            .or_default()
                            .extend(recorded_fields(parts));
                    }
                } else if name == "processor" || name == "cpu number" {
                    number = value.parse().ok().or(number);
                }
                fields.extend(recorded_fields([(name, value)]));
            }
            match number {
                Some(cpu) => info.of.entry(cpu).or_default().extend(fields),
                None => info.all.extend(fields),
            }
        }
        info
    }

    fn numbers(&self) -> Vec<usize> {
        self.of.keys().copied().collect()
    }

    fn of(&self, cpu: usize) -> BTreeMap<String, String> {
        let mut fields = self.all.clone();
        fields.extend(self.of.get(&cpu).cloned().unwrap_or_default());
        fields
    }
}

fn recorded_fields<'a>(
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = (String, String)> {
    let fields = fields.into_iter();
    let fields = fields.map(|(name, value)| (name.trim(), value.trim()));
    let fields = fields.filter(|(name, _)| {
        !LEFT_OUT.contains(name) && !name.starts_with("processor ") && !name.is_empty()
    });
    fields.map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn caches(folder: &Path) -> Vec<Cache> {
    let caches = (0..8).map_while(|index| {
        let folder = folder.join(format!("index{index}"));
        let shared = list(folder.join("shared_cpu_list")).unwrap_or_default();
        Some(Cache {
            level: number(folder.join("level"))?,
            kind: text(folder.join("type"))?.to_lowercase(),
            // Boards with a device tree often do not give the size.
            size_bytes: text(folder.join("size")).map_or(Some(0), |size| size_bytes(&size))?,
            shared_by_count: to_u32(shared.len()),
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

fn facts(root: &Path, first_cpu: Option<usize>) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            facts.insert(name.to_owned(), value);
        }
    };
    let microcode = format!(
        "sys/devices/system/cpu/cpu{}/microcode/version",
        first_cpu.unwrap_or(0)
    );
    for (name, path) in [
        ("cpus_online", "sys/devices/system/cpu/online"),
        ("cpus_offline", "sys/devices/system/cpu/offline"),
        ("cpus_present", "sys/devices/system/cpu/present"),
        ("cpus_isolated", "sys/devices/system/cpu/isolated"),
        ("smt", "sys/devices/system/cpu/smt/control"),
        ("dmi_vendor", "sys/class/dmi/id/sys_vendor"),
        ("dmi_product", "sys/class/dmi/id/product_name"),
        ("hypervisor_type", "sys/hypervisor/type"),
        ("device_tree_model", "proc/device-tree/model"),
        ("device_tree_compatible", "proc/device-tree/compatible"),
        (
            "device_tree_hypervisor",
            "proc/device-tree/hypervisor/compatible",
        ),
        ("microcode", microcode.as_str()),
    ] {
        // A NUL separates the texts in a device tree's list.
        let text = text(root.join(path)).map(|text| text.replace('\0', " "));
        put(name, text.map(Value::from));
    }
    for (name, path) in [
        (
            "device_tree_partition",
            "proc/device-tree/ibm,partition-name",
        ),
        ("kvm", "dev/kvm"),
    ] {
        put(name, root.join(path).exists().then(|| Value::from("yes")));
    }
    let sysinfo = text(root.join("proc/sysinfo")).unwrap_or_default();
    let line = |start: &str| {
        let line = sysinfo.lines().find_map(|line| line.strip_prefix(start))?;
        Some(Value::from(line.trim_start_matches(':').trim()))
    };
    put("control_program", line("VM00 Control Program"));
    put(
        "logical_partition",
        line("LPAR Number").map(|_| Value::from("yes")),
    );
    put(
        "cloud_instance_type",
        cloud_instance_type(root).map(Value::from),
    );
    put(
        "memory_controllers_count",
        memory_controllers(root).map(Value::from),
    );
    let mitigations: BTreeMap<String, String> =
        std::fs::read_dir(root.join("sys/devices/system/cpu/vulnerabilities"))
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.file_name().into_string().ok()?, text(entry.path())?))
            })
            .collect();
    put(
        "mitigations",
        (!mitigations.is_empty()).then(|| json!(mitigations)),
    );
    facts
}

fn memory_controllers(root: &Path) -> Option<usize> {
    let entries = std::fs::read_dir(root.join("sys/devices/system/edac/mc")).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let count = names
        .filter(|name| {
            name.strip_prefix("mc")
                .is_some_and(|rest| rest.parse::<u32>().is_ok())
        })
        .count();
    (count > 0).then_some(count)
}

/// The cloud's name for this size of machine, from cloud-init's file. Nothing is sent over the
/// network.
fn cloud_instance_type(root: &Path) -> Option<String> {
    const NAMES: [&str; 5] = [
        "instance-type",
        "instance_type",
        "machine-type",
        "machineType",
        "vmSize",
    ];
    fn find(value: &Value) -> Option<&str> {
        let fields = value.as_object()?;
        let own = NAMES.iter().find_map(|name| fields.get(*name)?.as_str());
        own.or_else(|| fields.values().find_map(find))
    }
    let text = text(root.join("run/cloud-init/instance-data.json"))?;
    let data: Value = serde_json::from_str(&text).ok()?;
    // Google's name is a path with the number of the owner's project.
    let name = find(&data)?.rsplit('/').next()?;
    (!name.is_empty() && !name.contains("redacted")).then(|| name.to_owned())
}

#[cfg(test)]
#[path = "machines.rs"]
mod machines;

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
    fn sizes_of_caches_read_their_unit() {
        assert_eq!(size_bytes("48K"), Some(48 << 10));
        assert_eq!(size_bytes("32M"), Some(32 << 20));
        assert_eq!(size_bytes("x"), None);
    }

    #[test]
    fn serial_number_is_not_kept() {
        let info = CpuInfo::parse(
            "processor : 0\nCPU part : 0xd08\n\nHardware : BCM2835\nSerial : 10000000abcdef\n",
        );
        let fields = info.of(0);
        assert_eq!(fields["Hardware"], "BCM2835");
        assert!(!fields.contains_key("Serial"), "{fields:?}");
    }
}
