//! Tests with the `/proc` and `/sys` of real machines of many kinds.

use std::ops::Range;

use tempfile::TempDir;

use super::*;

struct Machine {
    root: TempDir,
    cpuinfo: String,
}

struct Kind<'a> {
    cpuinfo: &'a [&'a str],
    /// The number of CPUs in a core, and in a socket.
    core: usize,
    socket: usize,
    /// Level, kind, size, and how many CPUs share it.
    caches: &'a [(u32, &'a str, &'a str, usize)],
}

fn group(cpu: usize, size: usize) -> String {
    let first = cpu / size * size;
    match size {
        1 => cpu.to_string(),
        _ => format!("{first}-{}", first + size - 1),
    }
}

impl Machine {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            cpuinfo: String::new(),
        }
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn cpu_file(self, path: &str, text: &str) -> Self {
        self.file(&format!("sys/devices/system/cpu/{path}"), text)
    }

    fn text(mut self, text: &str) -> Self {
        self.cpuinfo.push_str(text);
        self
    }

    fn cpus(mut self, cpus: Range<usize>, kind: &Kind<'_>) -> Self {
        let own = cpus.start;
        for cpu in cpus {
            self.cpuinfo.push_str(&format!("processor\t: {cpu}\n"));
            for field in kind.cpuinfo {
                self.cpuinfo
                    .push_str(&format!("{}\n", field.replace("{n}", &cpu.to_string())));
            }
            self.cpuinfo.push('\n');
            let list = |size: usize| {
                let shifted = group(cpu - own, size);
                let numbers: Cpus = shifted.parse().unwrap();
                let numbers = numbers.numbers().iter().map(|number| number + own);
                Cpus::of(numbers.collect()).unwrap().to_string()
            };
            let topology = format!("cpu{cpu}/topology");
            self = self
                .cpu_file(&format!("{topology}/core_cpus_list"), &list(kind.core))
                .cpu_file(
                    &format!("{topology}/package_cpus_list"),
                    &group(cpu, kind.socket),
                );
            for (index, (level, name, size, shared)) in kind.caches.iter().enumerate() {
                let cache = format!("cpu{cpu}/cache/index{index}");
                self = self
                    .cpu_file(&format!("{cache}/level"), &level.to_string())
                    .cpu_file(&format!("{cache}/type"), name)
                    .cpu_file(&format!("{cache}/size"), size)
                    .cpu_file(&format!("{cache}/shared_cpu_list"), &list(*shared));
            }
        }
        self
    }

    fn online(self, list: &str) -> Self {
        self.cpu_file("online", list)
            .file("sys/devices/system/node/online", "0\n")
    }

    fn dmi(self, vendor: &str, product: &str) -> Self {
        self.file("sys/class/dmi/id/sys_vendor", vendor)
            .file("sys/class/dmi/id/product_name", product)
    }

    fn read(self, architecture: &str) -> Host {
        let machine = match self.cpuinfo.as_str() {
            "" => self,
            text => {
                let text = text.to_owned();
                self.file("proc/cpuinfo", &text)
            }
        };
        let mut host = read(machine.root.path());
        host.machine.architecture = architecture.to_owned();
        reports::machine::complete(&mut host);
        host
    }
}

fn summary(host: &Host) -> String {
    let machine = &host.machine;
    let kinds = machine.kinds().into_iter().map(|kind| {
        let caches = kind.caches.iter().map(|cache| {
            let kind = cache.kind.chars().next().unwrap_or(' ');
            let size = cache.size_bytes >> 10;
            format!(" L{}{kind} {size}K/{}", cache.level, cache.shared_by_count)
        });
        let caches: String = caches.collect();
        format!(
            "{}c{}t {}{caches}",
            kind.cores_count, kind.threads_count, kind.name
        )
    });
    let kinds: Vec<String> = kinds.collect();
    let size = match machine.instance_type.as_str() {
        "" => String::new(),
        size => format!(" {size}"),
    };
    format!(
        "{}s{}n | {} | {}{size}",
        machine.sockets_count,
        machine.nodes_count,
        kinds.join(" | "),
        machine.hypervisor
    )
}

const XEON: Kind<'_> = Kind {
    cpuinfo: &[
        "vendor_id\t: GenuineIntel",
        "cpu family\t: 6",
        "model\t\t: 85",
        "model name\t: Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz",
        "stepping\t: 4",
        "cpu MHz\t\t: 10{n}.1",
        "apicid\t\t: {n}",
        "flags\t\t: fpu sse",
    ],
    core: 2,
    socket: 8,
    caches: &[
        (1, "Data", "32K", 2),
        (2, "Unified", "1024K", 2),
        (3, "Unified", "28160K", 8),
    ],
};

const GUEST: Kind<'_> = Kind {
    cpuinfo: &[
        "model name : Intel Xeon Processor",
        "cpu family : 6",
        "flags : fpu hypervisor",
    ],
    core: 1,
    socket: 1,
    caches: &[(1, "Data", "32K", 1)],
};

fn arm(part: &'static str) -> [&'static str; 4] {
    [
        "CPU implementer\t: 0x41",
        "CPU variant\t: 0x0",
        part,
        "CPU revision\t: 3",
    ]
}

fn little_and_big(model_name: Option<&'static str>) -> Machine {
    let kind = |part: &'static str| {
        let fields = model_name.into_iter().chain(arm(part));
        fields.collect::<Vec<_>>()
    };
    let (little, big) = (kind("CPU part\t: 0xd05"), kind("CPU part\t: 0xd0b"));
    let of = |cpuinfo, caches| Kind {
        cpuinfo,
        core: 1,
        socket: 8,
        caches,
    };
    Machine::new()
        .online("0-7\n")
        .cpus(0..4, &of(&little, &[(1, "Data", "32K", 1)]))
        .cpus(4..8, &of(&big, &[(1, "Data", "64K", 1)]))
        .cpu_file("cpu0/cpu_capacity", "530\n")
        .cpu_file("cpu4/cpu_capacity", "1024\n")
        .file("proc/device-tree/model", "Radxa ROCK 5B\0")
        .file(
            "proc/device-tree/compatible",
            "radxa,rock-5b\0rockchip,rk3588\0",
        )
}

#[test]
fn two_sockets_with_two_threads_a_core() {
    let host = Machine::new()
        .online("0-15\n")
        .file("sys/devices/system/node/online", "0-1\n")
        .cpus(0..16, &XEON)
        .dmi("Dell Inc.", "PowerEdge R740")
        .read("x86_64");
    assert_eq!(
        summary(&host),
        "2s2n | 8c16t Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz L1d 32K/2 L2u 1024K/2 L3u 28160K/8 | none"
    );
    assert_eq!(host.machine.cpu_stepping, "6/85/4");
    assert!(!host.cores[0].cpuinfo.contains_key("cpu MHz"));
}

#[test]
fn hybrid_cpu_with_one_name_for_both_kinds() {
    let name = [
        "model name : 13th Gen Intel(R) Core(TM) i7-13700",
        "flags : fpu",
    ];
    let of = |core, caches| Kind {
        cpuinfo: &name,
        core,
        socket: 24,
        caches,
    };
    let host = Machine::new()
        .online("0-23\n")
        .cpus(
            0..16,
            &of(2, &[(1, "Data", "48K", 2), (2, "Unified", "2048K", 2)]),
        )
        .cpus(
            16..24,
            &of(1, &[(1, "Data", "32K", 1), (2, "Unified", "4096K", 4)]),
        )
        .file("sys/devices/cpu_core/cpus", "0-15\n")
        .file("sys/devices/cpu_atom/cpus", "16-23\n")
        .read("x86_64");
    assert_eq!(
        summary(&host),
        "1s1n | 8c16t 13th Gen Intel(R) Core(TM) i7-13700, performance cores L1d 48K/2 L2u 2048K/2 | 8c8t 13th Gen Intel(R) Core(TM) i7-13700, efficiency cores L1d 32K/1 L2u 4096K/4 | none"
    );
    assert_eq!(host.machine.cores_count, 16);
    assert_eq!(
        [&host.cores[0].cpus, &host.cores[1].cpus],
        ["0-15", "16-23"]
    );
}

#[test]
fn two_chiplets_of_which_one_has_more_cache() {
    let name = ["model name : AMD Ryzen 9 7950X3D", "flags : fpu"];
    let of = |caches| Kind {
        cpuinfo: &name,
        core: 1,
        socket: 8,
        caches,
    };
    let host = Machine::new()
        .online("0-7\n")
        .cpus(0..4, &of(&[(3, "Unified", "98304K", 4)]))
        .cpus(4..8, &of(&[(3, "Unified", "32768K", 4)]))
        .read("x86_64");
    assert_eq!(
        summary(&host),
        "1s1n | 4c4t AMD Ryzen 9 7950X3D L3u 98304K/4 | 4c4t AMD Ryzen 9 7950X3D L3u 32768K/4 | none"
    );
}

#[test]
fn big_little_with_and_without_a_model_name() {
    let without = little_and_big(None).read("aarch64");
    assert_eq!(
        summary(&without),
        "1s1n | 4c4t Cortex-A55 L1d 32K/1 | 4c4t Cortex-A76 L1d 64K/1 | none"
    );
    assert_eq!(
        reports::machine::cpu(&without.machine),
        "4 × Cortex-A55 + 4 × Cortex-A76"
    );
    assert_eq!(without.cores[1].capacity, Some(1024));
    assert_eq!(
        without.facts["device_tree_compatible"],
        "radxa,rock-5b rockchip,rk3588"
    );
    let with = little_and_big(Some("model name\t: ARMv8 Processor rev 3 (v8l)")).read("aarch64");
    assert_eq!(with.machine.key(), without.machine.key());
}

#[test]
fn one_cpu() {
    let host = Machine::new()
        .online("0\n")
        .cpus(0..1, &GUEST)
        .read("x86_64");
    assert_eq!(
        summary(&host),
        "1s1n | 1c1t Intel Xeon Processor L1d 32K/1 | vm unknown"
    );
}

#[test]
fn machine_with_cpu_0_and_further_cpus_offline() {
    // An offline CPU has no topology, so the CPU that shares its core is alone in its lists.
    let quiet = Kind {
        core: 1,
        socket: 8,
        ..XEON
    };
    let host = Machine::new()
        .online("3,4-7\n")
        .cpu_file("offline", "0-2\n")
        .cpus(4..8, &Kind { socket: 8, ..XEON })
        .cpus(3..4, &quiet)
        .read("x86_64");
    let package = host.machine.sockets_count;
    assert_eq!(
        (
            package,
            host.machine.cores_count,
            host.machine.threads_count
        ),
        (1, 3, 5)
    );
    assert_eq!(host.cores.len(), 1, "one kind: {:?}", host.cores);
    assert_eq!(host.facts["cpus_offline"], "0-2");
    assert_eq!(host.machine.caches[0].shared_by_count, 2);
}

#[test]
fn machine_of_more_than_1024_cpus() {
    let many = Kind {
        caches: &[],
        cpuinfo: &["model name : AMD EPYC 9965", "flags : fpu"],
        socket: 384,
        ..XEON
    };
    let host = Machine::new()
        .online("0-1535\n")
        .cpus(0..1536, &many)
        .read("x86_64");
    assert_eq!(summary(&host), "4s1n | 768c1536t AMD EPYC 9965 | none");
}

#[test]
fn cloud_machines_tell_their_size_by_firmware_or_file() {
    let guest = || Machine::new().online("0-1\n").cpus(0..2, &GUEST);
    let size = |machine: Machine| {
        let machine = machine.read("x86_64").machine;
        format!("{} {}", machine.hypervisor, machine.instance_type)
    };
    assert_eq!(
        size(guest().dmi("Amazon EC2\n", "m5.large\n")),
        "nitro m5.large"
    );
    let google = guest().dmi("Google", "Google Compute Engine").file(
        "run/cloud-init/instance-data.json",
        r#"{"ds":{"meta_data":{"machine-type":"projects/12345/machineTypes/e2-medium"}}}"#,
    );
    assert_eq!(size(google), "gce e2-medium");
    let azure = guest()
        .dmi("Microsoft Corporation", "Virtual Machine")
        .file(
            "run/cloud-init/instance-data.json",
            r#"{"ds":{"meta_data":{"imds":{"compute":{"vmSize":"Standard_D2s_v5"}}}}}"#,
        );
    assert_eq!(size(azure), "hyperv Standard_D2s_v5");
    assert_eq!(size(guest().dmi("QEMU", "Standard PC")), "kvm unknown");
    let [a, b] = ["m5.large", "t3.large"].map(|product| {
        guest()
            .dmi("Amazon EC2", product)
            .read("x86_64")
            .machine
            .key()
    });
    assert_ne!(a, b, "two sizes of one CPU");
}

#[test]
fn arm_server_of_a_cloud_and_the_same_without_a_hypervisor() {
    let n1 = arm("CPU part\t: 0xd0c");
    let of = Kind {
        cpuinfo: &n1,
        core: 1,
        socket: 64,
        caches: &[(2, "Unified", "1024K", 1)],
    };
    let server = |product| {
        let host = Machine::new().online("0-63\n").cpus(0..64, &of);
        host.dmi("Amazon EC2", product).read("aarch64")
    };
    assert_eq!(
        summary(&server("m6g.16xlarge")),
        "1s1n | 64c64t Neoverse-N1 L2u 1024K/1 | nitro m6g.16xlarge"
    );
    assert_eq!(
        summary(&server("m6g.metal")),
        "1s1n | 64c64t Neoverse-N1 L2u 1024K/1 | none m6g.metal"
    );
}

#[test]
fn arm_kernel_of_32_bits_has_its_fields_before_and_behind_the_cpus() {
    let host = Machine::new()
        .cpu_file("online", "0-1\n")
        .text("Processor\t: ARMv7 Processor rev 10 (v7l)\nprocessor\t: 0\nBogoMIPS\t: 1.0\n\nprocessor\t: 1\nBogoMIPS\t: 1.0\n\nFeatures\t: swp\nCPU implementer\t: 0x41\nCPU variant\t: 0x2\nCPU part\t: 0xc09\nCPU revision\t: 10\n\nHardware\t: Freescale i.MX6\nSerial\t\t: 0000000012345678\n")
        .read("arm");
    assert_eq!(host.machine.cpu_model, "Cortex-A9");
    assert_eq!(
        (host.machine.cores_count, host.machine.threads_count),
        (0, 2)
    );
    assert_eq!(host.machine.hypervisor, UNKNOWN);
    let text = serde_json::to_string(&host).unwrap();
    assert!(!text.contains("12345678"), "{text}");
}

#[test]
fn risc_v_board() {
    let u74 = [
        "hart\t\t: {n}",
        "isa\t\t: rv64imafdc",
        "uarch\t\t: sifive,u74-mc",
        "mvendorid\t: 0x489",
        "marchid\t\t: 0x8000000000000007",
        "mimpid\t\t: 0x4210427",
    ];
    let of = Kind {
        cpuinfo: &u74,
        core: 1,
        socket: 4,
        caches: &[(1, "Data", "32K", 1), (2, "Unified", "2048K", 4)],
    };
    let host = Machine::new()
        .cpu_file("online", "0-3\n")
        .cpus(0..4, &of)
        .file("proc/device-tree/model", "StarFive VisionFive 2 v1.3B\0")
        .read("riscv64");
    assert_eq!(
        summary(&host),
        "1s1n | 4c4t sifive,u74-mc L1d 32K/1 L2u 2048K/4 | none"
    );
    assert_eq!(
        host.machine.cpu_stepping,
        "0x489/0x8000000000000007/0x4210427"
    );
}

#[test]
fn mainframe_in_a_partition_and_under_a_hypervisor() {
    let mainframe = |sysinfo: &str| {
        let cpus = "processor 0: version = FF,  identification = 0133E8,  machine = 8561\nprocessor 1: version = FF,  identification = 0133E8,  machine = 8561\n";
        let topology = |machine: Machine, cpu: usize| {
            machine
                .cpu_file(&format!("cpu{cpu}/topology/core_cpus_list"), "0-1\n")
                .cpu_file(&format!("cpu{cpu}/topology/physical_package_id"), "0\n")
        };
        let machine = Machine::new()
            .online("0-1\n")
            .text(&format!("vendor_id       : IBM/S390\n# processors    : 2\nbogomips per cpu: 3241.00\n{cpus}\ncpu number      : 0\ncpu MHz dynamic : 5200\n"))
            .file("proc/sysinfo", sysinfo);
        topology(topology(machine, 0), 1).read("s390x")
    };
    let partition = mainframe(
        "Manufacturer: IBM\nType: 8561\nSequence Code: 00000000000133E8\nLPAR Number:          14\n",
    );
    assert_eq!(summary(&partition), "1s1n | 1c2t IBM z15 | prsm");
    let guest =
        mainframe("Type: 8561\nLPAR Number:          14\nVM00 Control Program: KVM/Linux\n");
    assert_eq!(summary(&guest), "1s1n | 1c2t IBM z15 | kvm unknown");
    let text = serde_json::to_string(&[partition, guest]).unwrap();
    assert!(!text.contains("133E8"), "no serial number: {text}");
}

#[test]
fn power_server() {
    let host = Machine::new()
        .online("0-7\n")
        .cpus(
            0..8,
            &Kind {
                cpuinfo: &[
                    "cpu\t\t: POWER9, altivec supported",
                    "revision\t: 2.3 (pvr 004e 1203)",
                ],
                core: 4,
                socket: 8,
                caches: &[],
            },
        )
        .text("timebase\t: 512000000\nplatform\t: pSeries\nmodel\t\t: IBM,9009-42A\n")
        .file("proc/device-tree/model", "IBM,9009-42A\0")
        .file("proc/device-tree/ibm,partition-name", "lpar7\0")
        .read("powerpc64");
    assert_eq!(
        summary(&host),
        "1s1n | 2c8t POWER9, altivec supported | powervm"
    );
    assert!(!serde_json::to_string(&host).unwrap().contains("lpar7"));
}

#[test]
fn sandbox_that_shows_cpuinfo_and_nothing_of_sys() {
    let fields = [
        "model name : Intel Xeon",
        "physical id : 0",
        "core id : {n}",
        "flags : fpu hypervisor",
    ];
    let host = Machine::new().cpus(
        0..2,
        &Kind {
            cpuinfo: &fields,
            core: 1,
            socket: 2,
            caches: &[],
        },
    );
    std::fs::remove_dir_all(host.root.path().join("sys")).unwrap();
    let host = host.read("x86_64");
    assert_eq!(summary(&host), "1s0n | 2c2t Intel Xeon | vm unknown");
}

#[test]
fn machine_without_proc_is_known_by_its_topology_alone() {
    let mut machine = Machine::new()
        .online("0-3\n")
        .cpus(0..4, &Kind { socket: 4, ..XEON });
    machine.cpuinfo.clear();
    assert_eq!(
        summary(&machine.read("x86_64")),
        "1s1n | 2c4t unknown L1d 32K/2 L2u 1024K/2 L3u 28160K/8 | unknown"
    );
}

#[test]
fn host_without_facts_is_unknown() {
    let host = Machine::new().read("x86_64");
    assert_eq!(summary(&host), "0s0n | 0c0t unknown | unknown");
    assert_eq!(
        reports::machine::topology(&host.machine),
        "sockets unknown, cores unknown, hardware threads unknown, NUMA nodes unknown"
    );
}
