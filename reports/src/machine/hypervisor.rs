//! Hypervisor and size of a virtual machine, from its raw facts.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::schema::{Cores, UNKNOWN};

type Facts = BTreeMap<String, Value>;

/// Firmware strings of virtual machines, each with the hypervisor's class. The maker's physical
/// machines may have them too, so the CPU's fields come first.
const FIRMWARE: [(&str, &str); 15] = [
    ("Amazon EC2", "nitro"),
    ("Google Compute Engine", "gce"),
    ("Google", "gce"),
    ("Microsoft Corporation Virtual Machine", "hyperv"),
    ("VMware", "vmware"),
    ("VirtualBox", "virtualbox"),
    ("innotek", "virtualbox"),
    ("Parallels", "parallels"),
    ("Apple Virtualization", "apple"),
    ("QEMU", "kvm"),
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("Firecracker", "firecracker"),
    ("xen", "xen"),
    ("Xen", "xen"),
];

/// Signatures in CPUID leaf 0x4000_0000, each with the class.
const SIGNATURES: [(&str, &str); 9] = [
    ("KVMKVMKVM", "kvm"),
    ("Linux KVM Hv", "kvm"),
    ("Microsoft Hv", "hyperv"),
    ("VMwareVMware", "vmware"),
    ("XenVMMXenVMM", "xen"),
    ("VBoxVBoxVBox", "virtualbox"),
    ("TCGTCGTCGTCG", "qemu"),
    ("bhyve bhyve", "bhyve"),
    ("ACRNACRNACRN", "acrn"),
];

fn text<'a>(facts: &'a Facts, name: &str) -> &'a str {
    facts.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn sign(signs: &[(&str, &'static str)], said: &str) -> Option<&'static str> {
    let found = signs.iter().find(|(sign, _)| said.contains(sign));
    found.map(|(_, class)| *class)
}

/// See [`hypervisor`](crate::schema::MachineKeyInputs::hypervisor).
pub(super) fn class(architecture: &str, cores: &[Cores], facts: &Facts) -> String {
    let cpuinfo = cores.first().map(|cores| &cores.cpuinfo);
    let flags = cpuinfo.and_then(|fields| fields.get("flags"));
    let is_x86 = architecture.starts_with("x86") || architecture == "i686";
    let class = match flags {
        Some(flags) if is_x86 => {
            let flag = flags.split_whitespace().any(|flag| flag == "hypervisor");
            by_flag(flag, facts)
        }
        _ => by_signs(facts),
    };
    class.to_owned()
}

fn firmware(facts: &Facts) -> String {
    format!(
        "{} {}",
        text(facts, "dmi_vendor"),
        text(facts, "dmi_product")
    )
}

fn by_flag(flag: bool, facts: &Facts) -> &'static str {
    let kernel_says = text(facts, "hypervisor_type");
    if !flag {
        // Paravirtualised guests of Xen, and Xen's own domain 0, do not have the flag.
        return if kernel_says == "xen" { "xen" } else { "none" };
    }
    let said = format!("{} {kernel_says}", firmware(facts));
    let class = sign(&FIRMWARE, &said)
        .or_else(|| {
            text(facts, "dmi_vendor")
                .contains("Microsoft")
                .then_some("hyperv")
        })
        .or_else(|| sign(&SIGNATURES, text(facts, "hypervisor_signature")));
    class.unwrap_or("vm")
}

fn by_signs(facts: &Facts) -> &'static str {
    let has_fact = |name: &str| facts.contains_key(name);
    if text(facts, "hypervisor_type") == "xen" {
        return "xen";
    }
    // A mainframe names its hypervisor, and its partitions are virtual too.
    match text(facts, "control_program") {
        program if program.contains("KVM") => return "kvm",
        program if program.contains("z/VM") => return "zvm",
        _ if has_fact("control_program") || has_fact("logical_partition") => return "prsm",
        _ => {}
    }
    let said = firmware(facts);
    // A cloud's bare-metal machine is not virtual.
    let is_bare_metal = said.starts_with("Amazon EC2") && said.contains(".metal");
    if let Some(class) = sign(&FIRMWARE, &said).filter(|_| !is_bare_metal) {
        return class;
    }
    let hypervisor = text(facts, "device_tree_hypervisor");
    let tree = format!(
        "{} {}",
        text(facts, "device_tree_model"),
        text(facts, "device_tree_compatible")
    );
    let virtual_boards = ["dummy-virt", "riscv-virtio", "qemu"];
    match hypervisor {
        _ if is_bare_metal => "none",
        name if name.contains("kvm") => "kvm",
        name if name.contains("xen") => "xen",
        name if !name.is_empty() => "vm",
        _ if virtual_boards.iter().any(|name| tree.contains(name)) => "vm",
        _ if has_fact("device_tree_partition") => "powervm",
        // A device tree names a hypervisor if there is one. A machine with KVM is not virtual,
        // unless it is nested.
        _ if has_fact("device_tree_model") || has_fact("kvm") => "none",
        _ => UNKNOWN,
    }
}

/// See [`instance_type`](crate::schema::MachineKeyInputs::instance_type).
pub(super) fn instance_type(hypervisor: &str, facts: &Facts) -> String {
    let (vendor, product) = (text(facts, "dmi_vendor"), text(facts, "dmi_product"));
    let by_firmware = vendor.starts_with("Amazon EC2") || vendor.starts_with("Scaleway");
    let by_cloud = text(facts, "cloud_instance_type");
    match hypervisor {
        _ if by_firmware && !product.is_empty() => product.to_owned(),
        _ if !by_cloud.is_empty() => by_cloud.to_owned(),
        "none" | UNKNOWN | "prsm" | "powervm" => String::new(),
        _ => UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(flags: Option<&str>, facts: &[(&str, &str)]) -> (String, String) {
        let facts: Facts = facts
            .iter()
            .map(|&(name, value)| (name.to_owned(), Value::from(value)))
            .collect();
        let cpuinfo = flags.map(|flags| ("flags".to_owned(), flags.to_owned()));
        let cores = Cores {
            cpuinfo: cpuinfo.into_iter().collect(),
            ..Cores::default()
        };
        let architecture = if flags.is_some() { "x86_64" } else { "aarch64" };
        let class = class(architecture, &[cores], &facts);
        let size = instance_type(&class, &facts);
        (class, size)
    }

    fn check(found: (String, String), class: &str, size: &str) {
        assert_eq!((found.0.as_str(), found.1.as_str()), (class, size));
    }

    #[test]
    fn x86_machine_is_virtual_if_its_cpu_flags_say_so() {
        let virtual_ = Some("fpu hypervisor sse");
        let signed = |text| [("hypervisor_signature", text)];
        check(of(virtual_, &signed("KVMKVMKVM")), "kvm", UNKNOWN);
        check(of(virtual_, &signed("Microsoft Hv")), "hyperv", UNKNOWN);
        check(of(virtual_, &[]), "vm", UNKNOWN);
        let surface = [
            ("dmi_vendor", "Microsoft Corporation"),
            ("dmi_product", "Surface"),
        ];
        check(of(Some("fpu sse"), &surface), "none", "");
        check(
            of(Some("fpu"), &[("hypervisor_type", "xen")]),
            "xen",
            UNKNOWN,
        );
        let ec2 = [("dmi_vendor", "Amazon EC2"), ("dmi_product", "c5.large")];
        check(of(virtual_, &ec2), "nitro", "c5.large");
    }

    #[test]
    fn other_machines_are_physical_only_if_a_fact_shows_it() {
        check(of(None, &[]), UNKNOWN, "");
        check(of(None, &[("dmi_vendor", "Unheard Ltd")]), UNKNOWN, "");
        check(
            of(None, &[("dmi_vendor", "Unheard Ltd"), ("kvm", "yes")]),
            "none",
            "",
        );
        let ec2 = |product| [("dmi_vendor", "Amazon EC2"), ("dmi_product", product)];
        check(of(None, &ec2("c7g.large")), "nitro", "c7g.large");
        check(of(None, &ec2("c7g.metal")), "none", "c7g.metal");
        check(
            of(
                None,
                &[("device_tree_model", "Raspberry Pi 4 Model B Rev 1.4")],
            ),
            "none",
            "",
        );
        let qemu = [
            ("device_tree_model", "linux,dummy-virt"),
            ("device_tree_compatible", "linux,dummy-virt"),
        ];
        check(of(None, &qemu), "vm", UNKNOWN);
        check(
            of(None, &[("control_program", "z/VM    7.3.0")]),
            "zvm",
            UNKNOWN,
        );
        check(of(None, &[("logical_partition", "yes")]), "prsm", "");
    }

    #[test]
    fn instance_type_of_a_cloud_is_a_fact_of_its_own() {
        let gce = [
            ("dmi_vendor", "Google"),
            ("dmi_product", "Google Compute Engine"),
            ("cloud_instance_type", "e2-medium"),
        ];
        check(of(Some("hypervisor"), &gce), "gce", "e2-medium");
    }
}
