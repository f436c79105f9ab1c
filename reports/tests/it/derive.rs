//! Result files of machines that do not exist, for trials of the pages of many machines:
//! each is a real run of `hardware/` with other facts and scaled times, and says so.

use std::path::{Path, PathBuf};

use reports::Run;
use reports::schema::{CoreKind, MachineKeyInputs};
use reports::store::{Kept, kept_path, read};
use serde_json::json;

use crate::schema::in_crate;

/// Name, architecture, cores, threads per core, hypervisor, instance type.
type Sort = (
    &'static str,
    &'static str,
    u32,
    u32,
    &'static str,
    &'static str,
);

const SORTS: [Sort; 10] = [
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

/// The workloads taken from the real runs: enough for every question, few enough for a debug build.
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

/// The real runs.
pub(crate) fn real() -> Vec<Run> {
    let files = reports::site::files(&in_crate("hardware")).expect("reports/hardware");
    let runs = files.iter().map(|file| read(file).expect("a kept run"));
    runs.collect()
}

/// The `number`th derived run.
pub(crate) fn derived(real: &[Run], number: usize) -> Run {
    let mut run = real[number % real.len()].clone();
    let (name, architecture, cores, per_core, hypervisor, instance) = SORTS[number % SORTS.len()];
    let generation = number / SORTS.len();
    // Four setups of one machine, then the next machine of its sort.
    let (machine, setup) = (generation / 4, generation % 4);
    let header = &mut run.header;
    let id = header.run_id.clone();
    header.environment.insert("derived_from".into(), id.into());
    // The same build in all, so that setups differ only in their facts.
    header
        .environment
        .insert("git_commit".into(), "d".repeat(40).into());
    header.run_id = format!("derived{number}");
    header.started = format!(
        "2026-11-{:02}T08:{:02}:00+00:00",
        1 + number % 28,
        machine % 60
    );
    header.environment.insert(
        "governor".into(),
        ["performance", "schedutil"][setup % 2].into(),
    );
    let faults = match setup / 2 {
        0 => json!({"spectre_v2": "Mitigation: Retpolines"}),
        _ => json!({"spectre_v2": "Vulnerable"}),
    };
    let host = &mut header.host;
    host.cores.clear();
    host.facts.clear();
    host.facts.insert("mitigations".into(), faults);
    host.memory_bytes = u64::from(cores) << 32;
    host.machine = MachineKeyInputs {
        architecture: architecture.into(),
        cpu_model: format!("{name} #{machine}"),
        sockets_count: 1,
        cores_count: cores,
        threads_count: cores * per_core,
        nodes_count: 1,
        hypervisor: hypervisor.into(),
        instance_type: instance.into(),
        kinds: vec![CoreKind {
            name: format!("{name} #{machine}"),
            cores_count: cores,
            threads_count: cores * per_core,
            ..CoreKind::default()
        }],
        ..MachineKeyInputs::default()
    };
    // No two of them have the same samples, and none is faster than the real one.
    let factor = 1.0 + (number as f64) / 100.0 + 0.1 * (setup % 2) as f64;
    if let Some(end) = &mut run.end {
        end.elapsed_ns = (end.elapsed_ns as f64 * factor) as u64;
    }
    for group in &mut run.groups {
        for sample in &mut group.samples {
            sample.elapsed_ns = (sample.elapsed_ns as f64 * factor) as u64;
        }
    }
    run
}

/// Sets the count of samples at the end of a run whose groups were changed.
pub(crate) fn recount(run: &mut Run) {
    let count = run.samples_count() as u64;
    if let Some(end) = &mut run.end {
        end.samples_count = count;
    }
}

/// Writes `count` derived runs below `folder` as kept runs are.
pub(crate) fn write(folder: &Path, count: usize) -> Vec<PathBuf> {
    let mut real = real();
    for run in &mut real {
        let is_kept = |id: &str| WORKLOADS.contains(&id);
        run.header
            .workloads
            .retain(|workload| is_kept(&workload.id));
        run.groups.retain(|group| is_kept(&group.workload));
        recount(run);
    }
    write_all(&real, folder, count)
}

/// Writes as many of whole runs to the folder `DERIVED_RUNS`, for a look at the site and
/// at the time it takes: `threadbare site` on 300 of them.
#[test]
#[ignore = "writes 84 MB: DERIVED_RUNS=DIR cargo test --release -p reports --test it derive -- --ignored"]
fn three_hundred_whole_runs_are_written() {
    let folder = std::env::var_os("DERIVED_RUNS").expect("DERIVED_RUNS names a folder");
    assert_eq!(write_all(&real(), Path::new(&folder), 300).len(), 300);
}

fn write_all(real: &[Run], folder: &Path, count: usize) -> Vec<PathBuf> {
    let written = (0..count).map(|number| {
        let run = derived(real, number);
        // The coarsest latencies: quickly packed, and small enough all the same.
        let kept = Kept::of(&run, None).last().expect("a form");
        let packed = zstd::bulk::compress(&kept.text, 9).expect("packed");
        let path = folder.join(kept_path(&run.header));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("its folder");
        std::fs::write(&path, packed).expect("a file");
        path
    });
    written.collect()
}
