//! Result files of machines that do not exist, to test the pages of many machines. Each is a real
//! run of `hardware/` with other facts and scaled times, and is marked as derived.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use reports::Run;
use reports::schema::{Cores, Group, MachineKeyInputs};
use reports::store::{Files, Kept, kept_path, read};
use serde_json::json;

use crate::schema::runs_of_one_machine;

/// A kind of machine: name, architecture, cores, threads per core, hypervisor, instance type.
type Kind = (
    &'static str,
    &'static str,
    u32,
    u32,
    &'static str,
    &'static str,
);

const KINDS: [Kind; 10] = [
    ("AMD EPYC 9R14", "x86_64", 2, 1, "nitro", "m7a.large"),
    ("AMD EPYC 9R14", "x86_64", 16, 1, "nitro", "m7a.4xlarge"),
    (
        "Intel Xeon Platinum 8488C",
        "x86_64",
        4,
        2,
        "nitro",
        "m7i.2xlarge",
    ),
    ("Intel Xeon Platinum 8488C", "x86_64", 48, 2, "none", ""),
    ("Neoverse-V1", "aarch64", 8, 1, "nitro", "c7g.2xlarge"),
    ("Neoverse-V2", "aarch64", 64, 1, "nitro", "c8g.16xlarge"),
    ("Cortex-A76", "aarch64", 4, 1, "none", ""),
    ("Intel Core i7-13700K", "x86_64", 16, 1, "none", ""),
    ("AMD Ryzen 7 3700X", "x86_64", 8, 2, "none", ""),
    ("SiFive U74", "riscv64", 4, 1, "none", ""),
];

/// Workloads for all questions of the site (`FirstQuestion`). They are few, because a debug build
/// is slow.
const WORKLOADS: [&str; 8] = [
    "spawn.one",
    "spawn.batch",
    "switch.pingpong",
    "switch.yield",
    "memory.parked",
    "share.counter",
    "cpu.primes",
    "io.tcp_burst",
];

/// The runs of one machine of `hardware/`, without record counts, because the tests change the
/// records.
pub(crate) fn real() -> Vec<Run> {
    let files = Files::below(&runs_of_one_machine()).expect("a folder");
    files.found.iter().map(|file| uncounted(file)).collect()
}

/// A kept run without record counts, as older programs wrote it.
pub(crate) fn uncounted(file: &Path) -> Run {
    let mut run = read(file).expect("a kept run");
    if let Some(end) = &mut run.end {
        end.records_count.clear();
    }
    run
}

pub(crate) fn derived(real: &[Run], number: usize) -> Run {
    let mut run = real[number % real.len()].clone();
    let (name, architecture, cores, per_core, hypervisor, instance) = KINDS[number % KINDS.len()];
    let generation = number / KINDS.len();
    // Four setups of one machine, then the next machine of its kind.
    let (machine, setup) = (generation / 4, generation % 4);
    let header = &mut run.header;
    let id = header.run_id.clone();
    header.environment.insert("derived_from".into(), id.into());
    // All have the same build, so setups differ only in their facts.
    header
        .environment
        .insert("git_commit".into(), "d".repeat(40).into());
    header.run_id = format!("derived{number}");
    header.design.cpus = (0..cores * per_core).collect();
    header.started = format!(
        "2026-11-{:02}T08:{:02}:00+00:00",
        21 + number % 8,
        machine % 60
    );
    let target = format!("{architecture}-unknown-linux-gnu");
    header.environment.insert("target".into(), target.into());
    header.environment.insert(
        "governor".into(),
        ["performance", "schedutil"][setup % 2].into(),
    );
    let faults = match setup / 2 {
        0 => json!({"spectre_v2": "Mitigation: Retpolines"}),
        _ => json!({"spectre_v2": "Vulnerable"}),
    };
    let host = &mut header.host;
    let flags = match hypervisor {
        "none" => "fpu",
        _ => "fpu hypervisor",
    };
    let model = format!("{name} #{machine}");
    let fields = [("model name", model.as_str()), ("flags", flags)];
    host.cores = vec![Cores {
        cpus: format!("0-{}", cores * per_core - 1),
        cores_count: cores,
        threads_count: cores * per_core,
        cpuinfo: fields
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..Cores::default()
    }];
    host.facts.clear();
    host.facts.insert("mitigations".into(), faults);
    let firmware = match hypervisor {
        "none" => ["Unheard Ltd", name],
        _ => ["Amazon EC2", instance],
    };
    for (name, value) in ["dmi_vendor", "dmi_product"].into_iter().zip(firmware) {
        host.facts.insert(name.into(), value.into());
    }
    host.facts.insert("kvm".into(), "yes".into());
    host.memory_bytes = u64::from(cores) << 32;
    host.machine = MachineKeyInputs {
        architecture: architecture.into(),
        sockets_count: 1,
        nodes_count: 1,
        ..MachineKeyInputs::default()
    };
    reports::machine::complete(host);
    assert_eq!(host.machine.hypervisor, hypervisor);
    assert_eq!(host.machine.instance_type, instance);
    // No two runs have the same samples, and none is faster than the real run.
    let factor = 1.0 + (number as f64) / 100.0 + 0.1 * (setup % 2) as f64;
    slow(&mut run, factor * 1.01, |_| factor);
    run
}

/// Multiplies the times of each group by about `of(group)`, and the time of the whole run by
/// `whole`, which must be the larger factor. The factors of groups differ a little by the run's id
/// and the group's index, because equal factors would make a copy.
pub(crate) fn slow(run: &mut Run, whole: f64, of: impl Fn(&Group) -> f64) {
    let longer = |ns: &mut u64, factor: f64| *ns = (*ns as f64 * factor) as u64;
    for group in &mut run.groups {
        let mut hasher = DefaultHasher::new();
        (&run.header.run_id, group.order_index).hash(&mut hasher);
        let factor = of(group) * (1.0 + (hasher.finish() % 1_000) as f64 * 2e-6);
        longer(&mut group.at_ns, whole);
        for sample in &mut group.samples {
            longer(&mut sample.elapsed_ns, factor);
        }
    }
    for block in &mut run.blocks {
        longer(&mut block.at_ns, whole);
    }
    if let Some(end) = &mut run.end {
        longer(&mut end.elapsed_ns, whole);
    }
}

pub(crate) fn save(run: &Run, path: &Path) {
    let lines = run
        .records()
        .map(|record| serde_json::to_string(&record).expect("JSON") + "\n");
    std::fs::write(path, lines.collect::<String>()).expect("a file");
}

pub(crate) fn keep_workloads(run: &mut Run, ids: &[&str]) {
    let is_kept = |id: &str| ids.contains(&id);
    run.header
        .workloads
        .retain(|workload| is_kept(&workload.id));
    run.groups.retain(|group| is_kept(&group.workload));
    recount(run);
}

/// Corrects the counts in the run's end.
pub(crate) fn recount(run: &mut Run) {
    let (groups, samples) = (run.groups.len() as u64, run.samples_count() as u64);
    if let Some(end) = &mut run.end {
        (end.groups_count, end.samples_count) = (groups, samples);
    }
}

/// Writes `count` derived runs below `folder`, as kept runs.
pub(crate) fn write(folder: &Path, count: usize) -> Vec<PathBuf> {
    let mut real = real();
    for run in &mut real {
        keep_workloads(run, &WORKLOADS);
    }
    write_all(&real, folder, count)
}

/// Writes runs to view the site and to time `threadbare site`.
#[test]
#[ignore = "writes 84 MB: DERIVED_RUNS=DIR cargo test --release -p reports --test it derive -- --ignored"]
fn three_hundred_whole_runs_are_written() {
    let folder = std::env::var_os("DERIVED_RUNS").expect("DERIVED_RUNS names a folder");
    assert_eq!(write_all(&real(), Path::new(&folder), 300).len(), 300);
}

fn write_all(real: &[Run], folder: &Path, count: usize) -> Vec<PathBuf> {
    let one = |number: usize| {
        let run = derived(real, number);
        // `next_back` makes only the form with the coarsest histograms, which is fast.
        let kept = Kept::of(&run, None).next_back().expect("a form");
        let packed = zstd::bulk::compress(&kept.text, 3).expect("packed");
        let path = folder.join(kept_path(&run.header));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("its folder");
        std::fs::write(&path, packed).expect("a file");
        path
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let share = |first: usize| (first..count).step_by(cpus).map(&one).collect::<Vec<_>>();
    let share = &share;
    std::thread::scope(|scope| {
        let shares: Vec<_> = (0..cpus)
            .map(|first| scope.spawn(move || share(first)))
            .collect();
        let written = shares
            .into_iter()
            .map(|share| share.join().expect("its share"));
        written.flatten().collect()
    })
}
