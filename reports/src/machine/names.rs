//! The names of kinds of core, from `/proc/cpuinfo`. Arm and mainframe CPUs have numbers there,
//! whose names are in public tables: for Arm in `lscpu` (util-linux) and the kernel's `cputype.h`.

use std::collections::BTreeMap;

use crate::schema::UNKNOWN;

type Fields = BTreeMap<String, String>;

/// Implementer, part, name, in ascending order.
const ARM: [(u32, u32, &str); 138] = [
    (0x41, 0x810, "ARM810"),
    (0x41, 0x920, "ARM920"),
    (0x41, 0x922, "ARM922"),
    (0x41, 0x926, "ARM926"),
    (0x41, 0x940, "ARM940"),
    (0x41, 0x946, "ARM946"),
    (0x41, 0x966, "ARM966"),
    (0x41, 0xa20, "ARM1020"),
    (0x41, 0xa22, "ARM1022"),
    (0x41, 0xa26, "ARM1026"),
    (0x41, 0xb02, "ARM11 MPCore"),
    (0x41, 0xb36, "ARM1136"),
    (0x41, 0xb56, "ARM1156"),
    (0x41, 0xb76, "ARM1176"),
    (0x41, 0xc05, "Cortex-A5"),
    (0x41, 0xc07, "Cortex-A7"),
    (0x41, 0xc08, "Cortex-A8"),
    (0x41, 0xc09, "Cortex-A9"),
    (0x41, 0xc0d, "Cortex-A17"),
    (0x41, 0xc0e, "Cortex-A17"),
    (0x41, 0xc0f, "Cortex-A15"),
    (0x41, 0xd01, "Cortex-A32"),
    (0x41, 0xd02, "Cortex-A34"),
    (0x41, 0xd03, "Cortex-A53"),
    (0x41, 0xd04, "Cortex-A35"),
    (0x41, 0xd05, "Cortex-A55"),
    (0x41, 0xd06, "Cortex-A65"),
    (0x41, 0xd07, "Cortex-A57"),
    (0x41, 0xd08, "Cortex-A72"),
    (0x41, 0xd09, "Cortex-A73"),
    (0x41, 0xd0a, "Cortex-A75"),
    (0x41, 0xd0b, "Cortex-A76"),
    (0x41, 0xd0c, "Neoverse-N1"),
    (0x41, 0xd0d, "Cortex-A77"),
    (0x41, 0xd0e, "Cortex-A76AE"),
    (0x41, 0xd40, "Neoverse-V1"),
    (0x41, 0xd41, "Cortex-A78"),
    (0x41, 0xd42, "Cortex-A78AE"),
    (0x41, 0xd43, "Cortex-A65AE"),
    (0x41, 0xd44, "Cortex-X1"),
    (0x41, 0xd46, "Cortex-A510"),
    (0x41, 0xd47, "Cortex-A710"),
    (0x41, 0xd48, "Cortex-X2"),
    (0x41, 0xd49, "Neoverse-N2"),
    (0x41, 0xd4a, "Neoverse-E1"),
    (0x41, 0xd4b, "Cortex-A78C"),
    (0x41, 0xd4c, "Cortex-X1C"),
    (0x41, 0xd4d, "Cortex-A715"),
    (0x41, 0xd4e, "Cortex-X3"),
    (0x41, 0xd4f, "Neoverse-V2"),
    (0x41, 0xd80, "Cortex-A520"),
    (0x41, 0xd81, "Cortex-A720"),
    (0x41, 0xd82, "Cortex-X4"),
    (0x41, 0xd83, "Neoverse-V3AE"),
    (0x41, 0xd84, "Neoverse-V3"),
    (0x41, 0xd85, "Cortex-X925"),
    (0x41, 0xd87, "Cortex-A725"),
    (0x41, 0xd88, "Cortex-A520AE"),
    (0x41, 0xd89, "Cortex-A720AE"),
    (0x41, 0xd8a, "C1-Nano"),
    (0x41, 0xd8b, "C1-Pro"),
    (0x41, 0xd8c, "C1-Ultra"),
    (0x41, 0xd8e, "Neoverse-N3"),
    (0x41, 0xd8f, "Cortex-A320"),
    (0x41, 0xd90, "C1-Premium"),
    (0x42, 0x00f, "Brahma-B15"),
    (0x42, 0x100, "Brahma-B53"),
    (0x42, 0x516, "ThunderX2"),
    (0x43, 0x0a0, "ThunderX"),
    (0x43, 0x0a1, "ThunderX-88XX"),
    (0x43, 0x0a2, "ThunderX-81XX"),
    (0x43, 0x0a3, "ThunderX-83XX"),
    (0x43, 0x0af, "ThunderX2-99xx"),
    (0x43, 0x0b0, "OcteonTX2"),
    (0x43, 0x0b1, "OcteonTX2-98XX"),
    (0x43, 0x0b2, "OcteonTX2-96XX"),
    (0x46, 0x001, "A64FX"),
    (0x46, 0x003, "MONAKA"),
    (0x48, 0xd01, "Kunpeng-920"),
    (0x48, 0xd02, "Kunpeng-920B"),
    (0x48, 0xd06, "HIP10"),
    (0x48, 0xd22, "HIP11"),
    (0x48, 0xd40, "Cortex-A76"),
    (0x4e, 0x000, "Denver"),
    (0x4e, 0x003, "Denver 2"),
    (0x4e, 0x004, "Carmel"),
    (0x4e, 0x010, "Olympus"),
    (0x50, 0x000, "X-Gene"),
    (0x51, 0x001, "Oryon"),
    (0x51, 0x002, "Oryon-L"),
    (0x51, 0x00f, "Scorpion"),
    (0x51, 0x02d, "Scorpion"),
    (0x51, 0x04d, "Krait"),
    (0x51, 0x06f, "Krait"),
    (0x51, 0x201, "Kryo"),
    (0x51, 0x205, "Kryo"),
    (0x51, 0x211, "Kryo"),
    (0x51, 0x800, "Falkor-V1/Kryo"),
    (0x51, 0x801, "Kryo-V2"),
    (0x51, 0x802, "Kryo-3XX-Gold"),
    (0x51, 0x803, "Kryo-3XX-Silver"),
    (0x51, 0x804, "Kryo-4XX-Gold"),
    (0x51, 0x805, "Kryo-4XX-Silver"),
    (0x51, 0xc00, "Falkor"),
    (0x51, 0xc01, "Saphira"),
    (0x53, 0x001, "exynos-m1"),
    (0x53, 0x002, "exynos-m3"),
    (0x53, 0x003, "exynos-m4"),
    (0x53, 0x004, "exynos-m5"),
    (0x56, 0x131, "Feroceon-88FR131"),
    (0x56, 0x581, "PJ4/PJ4b"),
    (0x56, 0x584, "PJ4B-MP"),
    (0x61, 0x020, "Icestorm-A14"),
    (0x61, 0x021, "Firestorm-A14"),
    (0x61, 0x022, "Icestorm-M1"),
    (0x61, 0x023, "Firestorm-M1"),
    (0x61, 0x024, "Icestorm-M1-Pro"),
    (0x61, 0x025, "Firestorm-M1-Pro"),
    (0x61, 0x028, "Icestorm-M1-Max"),
    (0x61, 0x029, "Firestorm-M1-Max"),
    (0x61, 0x030, "Blizzard-A15"),
    (0x61, 0x031, "Avalanche-A15"),
    (0x61, 0x032, "Blizzard-M2"),
    (0x61, 0x033, "Avalanche-M2"),
    (0x61, 0x034, "Blizzard-M2-Pro"),
    (0x61, 0x035, "Avalanche-M2-Pro"),
    (0x61, 0x038, "Blizzard-M2-Max"),
    (0x61, 0x039, "Avalanche-M2-Max"),
    (0x6d, 0xd49, "Azure-Cobalt-100"),
    (0x70, 0x303, "FTC310"),
    (0x70, 0x660, "FTC660"),
    (0x70, 0x661, "FTC661"),
    (0x70, 0x662, "FTC662"),
    (0x70, 0x663, "FTC663"),
    (0x70, 0x862, "FTC862"),
    (0xc0, 0xac3, "Ampere-1"),
    (0xc0, 0xac4, "Ampere-1a"),
    (0xc0, 0xac5, "Ampere-1b"),
];

const MAINFRAMES: [(&str, &str); 10] = [
    ("2964", "z13"),
    ("2965", "z13s"),
    ("3906", "z14"),
    ("3907", "z14 ZR1"),
    ("3931", "z16"),
    ("3932", "z16 A02"),
    ("8561", "z15"),
    ("8562", "z15 T02"),
    ("9175", "z17"),
    ("2827", "zEC12"),
];

pub(super) fn name(fields: &Fields) -> String {
    let get = |name: &str| {
        fields
            .get(name)
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
    };
    let arm = || {
        let (maker, part) = (get("CPU implementer")?, get("CPU part")?);
        let known = number(maker).zip(number(part)).and_then(|numbers| {
            let found = ARM
                .iter()
                .find(|(maker, part, _)| (*maker, *part) == numbers);
            found.map(|(.., name)| (*name).to_owned())
        });
        Some(known.unwrap_or_else(|| format!("implementer {maker} part {part}")))
    };
    let mainframe = || {
        let number = get("machine")
            .filter(|_| get("vendor_id").is_some_and(|maker| maker.starts_with("IBM")))?;
        let known = MAINFRAMES.iter().find(|(other, _)| *other == number);
        Some(match known {
            Some((_, name)) => format!("IBM {name}"),
            None => format!("IBM {number}"),
        })
    };
    let risc_v = || {
        let numbers = ["mvendorid", "marchid"].map(&get);
        let [Some(vendor), Some(architecture)] = numbers else {
            return None;
        };
        Some(format!("RISC-V {vendor}/{architecture}"))
    };
    let plain = |name: &str| get(name).map(str::to_owned);
    // The numbers come first, because the "model name" of a 32-bit Arm kernel is only the
    // architecture.
    arm()
        .or_else(|| plain("model name"))
        .or_else(|| plain("Model Name"))
        .or_else(mainframe)
        .or_else(|| plain("uarch"))
        .or_else(risc_v)
        .or_else(|| plain("cpu"))
        .or_else(|| plain("cpu model"))
        .unwrap_or_else(|| UNKNOWN.to_owned())
}

pub(super) fn stepping(fields: &Fields) -> String {
    let names: &[&str] = match fields {
        _ if fields.contains_key("CPU implementer") => {
            &["CPU implementer", "CPU variant", "CPU part", "CPU revision"]
        }
        _ if fields.contains_key("mvendorid") => &["mvendorid", "marchid", "mimpid"],
        _ if fields.contains_key("cpu family") => &["cpu family", "model", "stepping"],
        _ => &[
            "CPU Family",
            "CPU Revision",
            "revision",
            "version",
            "machine",
        ],
    };
    let values = names
        .iter()
        .filter_map(|name| Some(fields.get(*name)?.as_str()));
    values.collect::<Vec<_>>().join("/")
}

/// A number of a CPU: hexadecimal, or decimal in old kernels.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(fields: &[(&str, &str)]) -> (String, String) {
        let fields = fields
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        (name(&fields), stepping(&fields))
    }

    fn check(found: (String, String), name: &str, stepping: &str) {
        assert_eq!((found.0.as_str(), found.1.as_str()), (name, stepping));
    }

    #[test]
    fn table_is_sorted_without_duplicates() {
        let numbers = ARM.map(|(maker, part, _)| (maker, part));
        assert!(numbers.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn arm_cores_are_named_by_their_id_numbers() {
        let a76 = [
            ("CPU implementer", "0x41"),
            ("CPU variant", "0x4"),
            ("CPU part", "0xd0b"),
            ("CPU revision", "0"),
        ];
        check(named(&a76), "Cortex-A76", "0x41/0x4/0xd0b/0");
        let in_32_bits = [
            ("model name", "ARMv7 Processor rev 4 (v7l)"),
            ("CPU implementer", "0x41"),
            ("CPU part", "0xd03"),
        ];
        check(named(&in_32_bits), "Cortex-A53", "0x41/0xd03");
        let new = [("CPU implementer", "0x41"), ("CPU part", "0xfff")];
        check(named(&new), "implementer 0x41 part 0xfff", "0x41/0xfff");
    }

    #[test]
    fn other_architectures_are_named_by_their_own_fields() {
        let epyc = [
            ("model name", "AMD EPYC 7763"),
            ("cpu family", "25"),
            ("model", "1"),
            ("stepping", "1"),
        ];
        check(named(&epyc), "AMD EPYC 7763", "25/1/1");
        check(
            named(&[
                ("vendor_id", "IBM/S390"),
                ("version", "FF"),
                ("machine", "8561"),
            ]),
            "IBM z15",
            "FF/8561",
        );
        check(
            named(&[
                ("uarch", "sifive,u74-mc"),
                ("mvendorid", "0x489"),
                ("marchid", "0x7"),
                ("mimpid", "0x1"),
            ]),
            "sifive,u74-mc",
            "0x489/0x7/0x1",
        );
        check(
            named(&[("mvendorid", "0x710"), ("marchid", "0x5")]),
            "RISC-V 0x710/0x5",
            "0x710/0x5",
        );
        check(
            named(&[
                ("cpu", "POWER9, altivec supported"),
                ("revision", "2.3 (pvr 004e 1203)"),
            ]),
            "POWER9, altivec supported",
            "2.3 (pvr 004e 1203)",
        );
        check(named(&[]), UNKNOWN, "");
    }
}
