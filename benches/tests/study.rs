//! A whole run over lanes that are shell scripts: a failure costs only its own cell, and the file
//! has the measured samples.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use benches::cpus::Cpus;
use benches::lane_process::{LaneCommand, Stop};
use benches::lanes::Missing;
use benches::study::{
    self, Depth, Observer, Outcome, Plan, PlannedBlock, PlannedCell, Setup, Silent, StudyError,
    StudyLane,
};
use reports::Run;
use reports::run::BASE_SUFFIX;
use reports::schema::{Failure, FailureKind, Taint};
use reports::store::Claim;
use workloads::catalogue::{self, Size};

/// A lane that reports `per_iteration_ns` for each iteration. The shell code `before` runs before
/// each answer, and may exit, hang or change a variable such as `$sum`.
fn lane(name: &str, per_iteration_ns: u64, before: &str) -> StudyLane {
    let script = format!(
        r#"
echo '{{"type":"hello","protocol":1,"lane":"{name}","language":"sh","runtime":"none","pid":1,"cpus_count":'$(nproc)',"workloads":{{"spawn.one":null,"switch.pingpong":null,"cpu.json":"no JSON in sh"}}}}'
while read -r line; do
  case $line in *'"type":"run"'*) ;; *) exit 0;; esac
  id=${{line#*\"id\":}}; id=${{id%%,*}}
  iterations=${{line##*\"iterations\":}}; iterations=${{iterations%%\}}*}}
  case $line in *pingpong*) sum=$((iterations * 50));; *) sum=$iterations;; esac
  operations=$sum
  {before}
  elapsed=$((iterations * {per_iteration_ns}))
  sleep $((elapsed / 1000000000)).$(printf %09d $((elapsed % 1000000000)))
  echo '{{"type":"sample","id":'$id',"elapsed_ns":'$elapsed',"operations_count":'$operations',"checksum":'$sum',"cpu_ns":0,"voluntary_switches_count":0,"involuntary_switches_count":0}}'
done"#
    );
    StudyLane {
        kernel_tasks: false,
        name: name.to_owned(),
        noun: name.to_owned(),
        variant_of: None,
        remark: String::new(),
        command: Ok(LaneCommand {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            variables: Vec::new(),
        }),
    }
}

fn setup(lanes: Vec<StudyLane>, workloads: &[&str]) -> Setup {
    let workloads = workloads
        .iter()
        .map(|id| catalogue::find(id).unwrap())
        .collect();
    let mut setup = Setup::new(Depth::Quick, lanes, workloads, Cpus::allowed().unwrap(), 42);
    setup.size = Size::Tiny;
    setup.goes_on = false;
    setup.sample_target = Duration::from_millis(2);
    setup.budget = Duration::from_secs(60);
    // A shell may be slow on a loaded host.
    setup.limits.sample = Duration::from_secs(3);
    setup.command = vec!["threadbare".into(), "run".into()];
    setup
}

fn measure(setup: &Setup, path: &Path) -> (Outcome, Run) {
    let outcome = study::run(setup, path, &Stop::default(), &mut Silent).unwrap();
    (outcome, reports::store::read(path).unwrap())
}

fn processes_of(run: &Run, workload: &str, lane: &str, control: bool) -> BTreeSet<u64> {
    let groups = run.groups.iter();
    let of_cell = groups.filter(|group| {
        (group.workload.as_str(), group.lane.as_str(), group.control) == (workload, lane, control)
    });
    of_cell.map(|group| group.process_index).collect()
}

#[test]
fn every_cell_is_measured_in_five_fresh_processes_and_each_lane_has_an_a_a_pair() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.jsonl");
    let lanes = vec![lane("a", 1000, ""), lane("b", 2000, "")];
    let setup = setup(lanes, &["spawn.one", "switch.pingpong"]);
    let (outcome, run) = measure(&setup, &path);
    let five = (0..5).collect::<BTreeSet<u64>>();
    for workload in ["spawn.one", "switch.pingpong"] {
        assert_eq!(processes_of(&run, workload, "a", false), five);
        assert_eq!(processes_of(&run, workload, "b", false), five);
    }
    let pair = |workload, lane| processes_of(&run, workload, lane, true);
    assert_eq!(pair("spawn.one", "a"), five, "the A/A pair");
    assert_eq!(pair("spawn.one", "b"), BTreeSet::new());
    assert_eq!(pair("switch.pingpong", "a"), BTreeSet::new());
    assert_eq!(pair("switch.pingpong", "b"), five);
    assert!(run.groups.iter().all(|group| group.samples.len() == 3));
    assert_eq!((outcome.blocks_count, run.blocks.len()), (10, 10));
    assert_eq!((outcome.stopped, outcome.wrong_checksums_count), (false, 0));
    let end = run.end.as_ref().unwrap();
    assert_eq!(
        (end.groups_count, end.failures_count, end.interrupted),
        (30, 0, false)
    );
    assert_eq!(run.header.seed, 42);
    assert_eq!(run.header.design.reference_lane, "a");
    assert_eq!(run.header.lanes[1].language, "sh");
    let orders: BTreeSet<u64> = run.groups.iter().map(|group| group.order_index).collect();
    assert_eq!(orders, (0..30).collect());
    assert!(run.warnings.is_empty(), "{:?}", run.warnings);
}

#[test]
fn two_runs_with_one_seed_measure_in_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    let order = |name: &str| {
        let lanes = vec![
            lane("a", 1000, ""),
            lane("b", 2000, ""),
            lane("c", 1500, ""),
        ];
        let (_, run) = measure(&setup(lanes, &["spawn.one"]), &dir.path().join(name));
        run.groups
            .into_iter()
            .map(|group| (group.lane, group.control))
            .collect::<Vec<_>>()
    };
    assert_eq!(order("1"), order("2"));
}

#[test]
fn only_a_run_of_a_lane_built_without_optimisation_is_marked() {
    let dir = tempfile::tempdir().unwrap();
    let is_marked = |name: &str, hello: &str| {
        let mut lane = lane("a", 1000, "");
        let script = &mut lane.command.as_mut().unwrap().arguments[1];
        *script = script.to_str().unwrap().replace("\"pid\":1", hello).into();
        let mut setup = setup(vec![lane], &["spawn.one"]);
        setup.processes_count = 1;
        let (_, run) = measure(&setup, &dir.path().join(name));
        run.taints.iter().any(|taint| taint.kind == "debug_build")
    };
    assert!(is_marked("debug", r#""pid":1,"unoptimised":true"#));
    assert!(!is_marked("release", r#""pid":1"#));
}

#[test]
fn only_a_run_of_a_lane_program_of_another_commit_is_marked() {
    let dir = tempfile::tempdir().unwrap();
    let run_of = |commit: &str| {
        let mut lane = lane("a", 1000, "");
        let script = &mut lane.command.as_mut().unwrap().arguments[1];
        let hello = format!(r#""pid":1,"commit":"{commit}""#);
        *script = script.to_str().unwrap().replace("\"pid\":1", &hello).into();
        let mut setup = setup(vec![lane], &["spawn.one"]);
        setup.processes_count = 1;
        let (_, run) = measure(&setup, &dir.path().join(commit));
        assert_eq!(run.header.lanes[0].commit, commit);
        run
    };
    let mark = |run: &Run| {
        let mut taints = run.taints.iter();
        let found = taints.find(|taint| taint.kind == "other_commit")?;
        Some(found.message.clone())
    };
    let other = run_of(&"e".repeat(40));
    assert!(mark(&other).unwrap().contains("the commit eeeeeeeeeeee"));
    let own = other.header.environment["git_commit"].as_str().unwrap();
    assert_eq!(mark(&run_of(own)), None);
}

#[test]
fn a_lane_that_crashes_costs_its_own_cell() {
    let dir = tempfile::tempdir().unwrap();
    // The lane survives the trial and two processes of one workload.
    let crash = format!(
        "case $id$line in 1*pingpong*) echo x >> {0}; [ $(wc -l < {0}) -gt 3 ] && kill -SEGV $$;; esac",
        dir.path().join("count").display()
    );
    let lanes = vec![lane("a", 1000, ""), lane("b", 1000, &crash)];
    let setup = setup(lanes, &["switch.pingpong", "spawn.one"]);
    let (outcome, run) = measure(&setup, &dir.path().join("run.jsonl"));
    assert_eq!(processes_of(&run, "switch.pingpong", "a", false).len(), 5);
    assert_eq!(processes_of(&run, "spawn.one", "b", false).len(), 5);
    assert_eq!(
        processes_of(&run, "switch.pingpong", "b", false),
        BTreeSet::from([0, 1])
    );
    assert_eq!(outcome.failures_count, 2, "given up after its second crash");
    let failure = &run.failures[0];
    assert_eq!(
        (failure.kind, failure.lane.as_str()),
        (FailureKind::Crashed, "b")
    );
    assert!(
        failure.message.starts_with("killed by SIGSEGV"),
        "{}",
        failure.message
    );
    assert!(run.end.is_some());
}

#[test]
fn a_lane_that_hangs_is_given_up_after_one_time_out() {
    let dir = tempfile::tempdir().unwrap();
    let lanes = vec![lane("a", 1000, ""), lane("b", 1000, "sleep 60")];
    let (outcome, run) = measure(&setup(lanes, &["spawn.one"]), &dir.path().join("run.jsonl"));
    assert_eq!(processes_of(&run, "spawn.one", "a", false).len(), 5);
    let kinds: Vec<FailureKind> = run.failures.iter().map(|failure| failure.kind).collect();
    assert_eq!(kinds, [FailureKind::TimedOut]);
    assert!(run.failures[0].message.starts_with("timed out after 3 s"));
    assert_eq!(outcome.failures_count, 1);
}

#[test]
fn a_wrong_checksum_voids_its_samples_and_fails_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let lanes = vec![lane("a", 1000, ""), lane("b", 1000, "sum=$((sum + 1))")];
    let (outcome, run) = measure(&setup(lanes, &["spawn.one"]), &dir.path().join("run.jsonl"));
    assert_eq!(outcome.wrong_checksums_count, 1);
    assert_eq!(run.failures[0].kind, FailureKind::WrongChecksum);
    assert_eq!(processes_of(&run, "spawn.one", "b", false), BTreeSet::new());
    assert_eq!(processes_of(&run, "spawn.one", "a", false).len(), 5);
}

#[test]
fn a_wrong_count_of_operations_is_no_sample() {
    let dir = tempfile::tempdir().unwrap();
    let lanes = vec![
        lane("a", 1000, ""),
        lane("b", 1000, "operations=$((operations * 2))"),
    ];
    let (_, run) = measure(&setup(lanes, &["spawn.one"]), &dir.path().join("run.jsonl"));
    assert_eq!(run.failures[0].kind, FailureKind::Protocol);
    assert!(
        run.failures[0].message.contains("operations"),
        "{}",
        run.failures[0].message
    );
}

#[test]
fn lanes_that_cannot_run_are_recorded_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Missing::Toolchain {
        language: "go",
        install: "get go",
        variable: "THREADBARE_GO",
    };
    let absent = StudyLane {
        command: Err(missing),
        ..lane("go", 1, "")
    };
    let lanes = vec![lane("a", 1000, ""), absent];
    let (outcome, run) = measure(
        &setup(lanes, &["spawn.one", "cpu.json"]),
        &dir.path().join("run.jsonl"),
    );
    let of = |lane: &str, workload: &str| {
        let failures = run.failures.iter();
        failures
            .filter(|one| one.lane == lane && one.workload == workload)
            .map(|one| (one.kind, one.message.as_str()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("a", "cpu.json"),
        [(FailureKind::NotSupported, "no JSON in sh")]
    );
    assert_eq!(
        of("go", "spawn.one"),
        [(
            FailureKind::NotInstalled,
            "go is not installed: get go; or name it in THREADBARE_GO"
        )]
    );
    assert_eq!(
        outcome.failures_count, 0,
        "expected absences are no failures"
    );
}

#[test]
fn without_any_lane_there_is_no_run_and_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.jsonl");
    let dead = StudyLane {
        command: Ok(LaneCommand {
            program: "/nonexistent".into(),
            ..LaneCommand::default()
        }),
        ..lane("dead", 1, "")
    };
    let error = study::run(
        &setup(vec![dead], &["spawn.one"]),
        &path,
        &Stop::default(),
        &mut Silent,
    )
    .unwrap_err();
    assert!(matches!(error, StudyError::NoLane(_)), "{error}");
    assert!(error.to_string().contains("/nonexistent"), "{error}");
    assert!(!path.exists());
}

struct StopAfter(usize, Stop);

impl Observer for StopAfter {
    fn preparing(&mut self, _: &str) {}
    fn planned(&mut self, _: &Plan, _: usize) {}
    fn cell(&mut self, block: &PlannedBlock, cell: &PlannedCell, _: Duration) {
        // The stop is in the middle of a block, which the resumed run must repeat.
        if block.index as usize == self.0 && !cell.control {
            self.1.ask();
        }
    }
    fn block_done(&mut self, _: &PlannedBlock, _: Duration) {}
    fn decided(&mut self, _: usize, _: usize) {}
    fn failed(&mut self, _: &Failure) {}
    fn tainted(&mut self, _: &Taint) {}
    fn note(&mut self, _: &str) {}
}

#[test]
fn a_run_that_was_stopped_keeps_its_blocks_and_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.jsonl");
    let lanes = vec![lane("a", 1000, ""), lane("b", 2000, "")];
    let setup = setup(lanes, &["spawn.one", "switch.pingpong"]);
    let stop = Stop::default();
    let outcome = study::run(&setup, &path, &stop, &mut StopAfter(4, stop.clone())).unwrap();
    assert!(outcome.stopped);
    assert_eq!(outcome.blocks_count, 4);
    let stopped_run = reports::store::read(&path).unwrap();
    assert_eq!(stopped_run.blocks.len(), 4);
    assert!(stopped_run.end.is_none());

    let outcome = study::resume(
        &setup,
        &stopped_run,
        Claim::of(&path).unwrap(),
        &Stop::default(),
        &mut Silent,
    )
    .unwrap();
    assert_eq!((outcome.blocks_count, outcome.stopped), (10, false));
    let run = reports::store::read(&path).unwrap();
    assert!(run.end.is_some());
    let mut groups: Vec<(u64, &str, bool)> = run
        .groups
        .iter()
        .map(|group| (group.block_index, group.lane.as_str(), group.control))
        .collect();
    assert_eq!(groups.len(), 30);
    groups.sort_unstable();
    groups.dedup();
    assert_eq!(groups.len(), 30, "each cell of each block once");
    assert!(
        run.groups
            .windows(2)
            .all(|pair| pair[0].order_index < pair[1].order_index)
    );
}

#[test]
fn twice_compares_every_lane_with_itself() {
    let dir = tempfile::tempdir().unwrap();
    let lanes = vec![lane("a", 1000, ""), lane("b", 2000, "")];
    let mut setup = setup(lanes, &["spawn.one"]);
    setup.twice = true;
    let (_, run) = measure(&setup, &dir.path().join("run.jsonl"));
    let analysis = reports::Analysis::of(&run);
    assert_eq!(analysis.noise.called_different(), (0, 2));
}

#[test]
fn a_run_goes_on_for_undecided_comparisons_and_ends_when_all_are_decided() {
    let dir = tempfile::tempdir().unwrap();
    let wild = wild("wild", &dir.path().join("counter"));
    let mut setup = setup(
        vec![lane("a", 1000, ""), lane("far", 9000, ""), wild],
        &["spawn.one"],
    );
    setup.goes_on = true;
    setup.budget = Duration::from_secs(60);
    let (outcome, run) = measure(&setup, &dir.path().join("run.jsonl"));
    assert!(!outcome.out_of_time && run.is_complete());
    let count = |lane| processes_of(&run, "spawn.one", lane, false).len();
    // A clear comparison needs only enough processes for an interval.
    assert!((5..=10).contains(&count("far")), "{}", count("far"));
    assert!(count("wild") > 10, "{}", count("wild"));
    assert_eq!(count("a"), count("wild"), "they grow together");
    assert_eq!(reports::Analysis::of(&run).decided(), (2, 2));
    let warmed_up = run.groups.iter().filter(|group| group.warm_up.is_some());
    assert_eq!(
        warmed_up.count(),
        run.groups.len(),
        "each says how it was warmed up"
    );
}

/// A lane whose processes differ by up to a fifth: the file `counter` numbers them, and the number
/// decides the time.
fn wild(name: &str, counter: &Path) -> StudyLane {
    let file = counter.display();
    let before = format!(
        r#"
[ "$n" ] || {{ n=$(cat {file} 2>/dev/null || echo 0); echo $((n + 1)) >{file}; }}
iterations=$((iterations * (80 + n * 17 % 41)))"#
    );
    lane(name, 10, &before)
}

#[test]
fn a_precise_run_goes_on_for_the_cells_that_need_it_and_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.jsonl");
    let wild = wild("wild", &dir.path().join("counter"));
    let mut setup = setup(vec![lane("steady", 1000, ""), wild], &["spawn.one"]);
    setup.be_precise(0.04);
    setup.goes_on = true;
    setup.budget = Duration::from_secs(120);
    let stop = Stop::default();
    let outcome = study::run(&setup, &path, &stop, &mut StopAfter(12, stop.clone())).unwrap();
    let stopped_run = reports::store::read(&path).unwrap();
    assert!(outcome.stopped);

    study::resume(
        &setup,
        &stopped_run,
        Claim::of(&path).unwrap(),
        &Stop::default(),
        &mut Silent,
    )
    .unwrap();
    let run = reports::store::read(&path).unwrap();
    assert!(run.is_complete(), "{:?}", run.end);
    let design = &run.header.design;
    assert_eq!(
        (design.processes_count, design.precision_ratio),
        (10, Some(0.04))
    );
    let ten = (0..10).collect::<BTreeSet<u64>>();
    assert_eq!(processes_of(&run, "spawn.one", "steady", false), ten);
    assert_eq!(processes_of(&run, "spawn.one", "steady", true), ten);
    let wild = processes_of(&run, "spawn.one", "wild", false);
    assert!(wild.len() > 12, "{wild:?}");
    let of_wild = run.groups.iter().filter(|group| group.lane == "wild");
    assert_eq!(of_wild.count(), wild.len(), "each process once");
}

#[test]
fn a_slow_process_is_a_result_and_stays_within_the_time_limit() {
    let dir = tempfile::tempdir().unwrap();
    let counter = dir.path().join("counter");
    // The lane is slow from its third process on, which the warm-up shows.
    let before = format!(
        r#"
[ "$n" ] || {{ n=$(cat {0} 2>/dev/null || echo 0); echo $((n + 1)) >{0}; }}
[ "$n" -lt 2 ] || [ "$slow" ] || {{ slow=400; sleep 1; }}
iterations=$((iterations * ${{slow:-1}}))"#,
        counter.display()
    );
    let mut setup = setup(vec![lane("a", 1000, &before)], &["spawn.one"]);
    setup.processes_count = 3;
    setup.limits.sample = Duration::from_secs(10);
    let (outcome, run) = measure(&setup, &dir.path().join("run.jsonl"));
    assert_eq!(
        (outcome.failures_count, outcome.wrong_checksums_count),
        (0, 0)
    );
    let of_process = |slow: bool| {
        let matches_speed = move |group: &&reports::schema::Group| {
            let sample = &group.samples[0];
            (sample.elapsed_ns > 10_000 * sample.operations_count) == slow
        };
        run.groups.iter().filter(matches_speed)
    };
    let planned = of_process(false).next().expect("a fast one").iterations;
    assert!(of_process(true).count() > 0);
    for group in of_process(true) {
        assert!(group.iterations < planned, "{} {planned}", group.iterations);
        assert_eq!(group.samples[0].operations_count, group.iterations);
    }
}

fn of_base(mut lane: StudyLane) -> StudyLane {
    lane.name += BASE_SUFFIX;
    lane
}

#[test]
fn two_builds_of_a_lane_are_neighbours_and_take_samples_of_one_length() {
    let dir = tempfile::tempdir().unwrap();
    let lanes = vec![
        lane("a", 1000, ""),
        lane("b", 1000, ""),
        of_base(lane("a", 3000, "")),
        of_base(lane("b", 1000, "")),
    ];
    let (_, run) = measure(&setup(lanes, &["spawn.one"]), &dir.path().join("run.jsonl"));
    let group_of = |lane: &str, process: u64| {
        let mut groups = run.groups.iter().filter(|group| !group.control);
        groups
            .find(|group| (group.lane.as_str(), group.process_index) == (lane, process))
            .unwrap()
    };
    for process in 0..5 {
        for lane in ["a", "b"] {
            let (new, base) = (
                group_of(lane, process),
                group_of(&format!("{lane}@base"), process),
            );
            assert_eq!(new.order_index.abs_diff(base.order_index), 1);
            assert_eq!(new.iterations, base.iterations);
        }
    }
}

#[test]
fn shards_of_a_run_share_its_id_and_together_hold_every_workload() {
    let all = [
        "spawn.one",
        "spawn.batch",
        "switch.yield",
        "switch.pingpong",
        "cpu.json",
    ];
    let mut seen = Vec::new();
    let mut ids = BTreeSet::new();
    for index in 1..=2 {
        let mut setup = setup(vec![lane("a", 1, "")], &all);
        setup.take_shard(index, 2);
        ids.insert(setup.run_id.clone());
        seen.extend(setup.workloads.iter().map(|workload| workload.id));
    }
    seen.sort_unstable();
    let mut all = all.to_vec();
    all.sort_unstable();
    assert_eq!(seen, all);
    assert_eq!(ids.len(), 1);
}
