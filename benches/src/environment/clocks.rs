//! The clocks of the CPUs. CPU 0 may be offline, so a fact is read from the first online CPU that
//! has it, and the governor from all online CPUs.

use std::collections::BTreeMap;
use std::path::Path;

use super::{number, text};
use crate::cpus::Cpus;

const FOLDER: &str = "sys/devices/system/cpu";

fn online(root: &Path) -> Vec<usize> {
    let list = text(root.join(FOLDER).join("online"));
    let cpus = list.and_then(|list| list.parse::<Cpus>().ok());
    cpus.map_or_else(|| vec![0], |cpus| cpus.numbers().to_vec())
}

/// The frequency governor of all CPUs; if they differ, each with its CPUs. The host's files are
/// below `root`.
pub(super) fn governor(root: &Path) -> Option<String> {
    let mut cpus: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for cpu in online(root) {
        let file = format!("cpu{cpu}/cpufreq/scaling_governor");
        let own = text(root.join(FOLDER).join(file));
        cpus.entry(own.unwrap_or_default()).or_default().push(cpu);
    }
    let without_governor = cpus.remove("");
    if cpus.len() <= 1 && (without_governor.is_none() || cpus.is_empty()) {
        return cpus.into_keys().next();
    }
    let without_governor = without_governor.map(|cpus| ("unknown".to_owned(), cpus));
    let texts = cpus
        .into_iter()
        .chain(without_governor)
        .filter_map(|(name, cpus)| {
            let cpus = Cpus::of(cpus)?;
            Some(format!("{name} on {cpus}"))
        });
    Some(texts.collect::<Vec<_>>().join(", "))
}

/// Whether the CPUs may exceed their base clock rate; `None` if no driver tells.
pub(super) fn turbo(root: &Path) -> Option<bool> {
    let folder = root.join(FOLDER);
    let no_turbo: Option<u8> = number(folder.join("intel_pstate/no_turbo"));
    let boost: Option<u8> = number(folder.join("cpufreq/boost"));
    no_turbo.map(|off| off == 0).or(boost.map(|on| on == 1))
}

pub(super) fn read_first(root: &Path, name: &str) -> Option<f64> {
    let cpus = online(root).into_iter();
    let mut values =
        cpus.filter_map(|cpu| number(root.join(FOLDER).join(format!("cpu{cpu}/{name}"))));
    values.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(FOLDER).join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_governor_is_that_of_all_cpus_online() {
        let of = |files: &[(&str, &str)]| governor(tree(files).path());
        let file = "cpufreq/scaling_governor";
        let [two, three] = [2, 3].map(|cpu| format!("cpu{cpu}/{file}"));
        assert_eq!(of(&[("online", "2-3\n")]), None);
        let all = [
            ("online", "2-3\n"),
            (two.as_str(), "performance\n"),
            (three.as_str(), "performance\n"),
        ];
        assert_eq!(of(&all), Some("performance".to_owned()));
        let mixed = [
            ("online", "2-3\n"),
            (two.as_str(), "performance\n"),
            (three.as_str(), "powersave\n"),
        ];
        assert_eq!(
            of(&mixed),
            Some("performance on 2, powersave on 3".to_owned())
        );
        let half = [("online", "2-3\n"), (two.as_str(), "performance\n")];
        assert_eq!(of(&half), Some("performance on 2, unknown on 3".to_owned()));
    }

    #[test]
    fn a_clock_is_read_though_cpu_0_is_offline() {
        let root = tree(&[
            ("online", "1-3\n"),
            ("cpu2/cpufreq/scaling_cur_freq", "1800000\n"),
        ]);
        assert_eq!(
            read_first(root.path(), "cpufreq/scaling_cur_freq"),
            Some(1_800_000.0)
        );
    }
}
