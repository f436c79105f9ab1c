//! The example `slow_lane`, which slows a lane down. Cargo builds it with the tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use benches::cpus::Cpus;
use benches::lane_process::{Answer, LaneCommand, LaneFailure, LaneProcess, Limits, Stop};
use workloads::protocol::Sample;

/// A lane in shell. It gives its parent's process number as its own; its samples take 1000 ns.
const LANE: &str = r#"
echo '{"type":"hello","protocol":1,"lane":"sh","language":"sh","runtime":"none","pid":'$PPID',"cpus_count":1,"workloads":{"spawn.one":null}}'
id=0
while read -r request; do
    case $request in *'"quit"'*) exit 0;; esac
    id=$((id + 1))
    echo '{"type":"sample","id":'$id',"elapsed_ns":1000,"operations_count":1,"checksum":7,"cpu_ns":400,"voluntary_switches_count":3,"involuntary_switches_count":0}'
done"#;

fn example() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let profile = own.parent().and_then(Path::parent).unwrap();
    let found = profile.join("examples/slow_lane");
    assert!(
        found.is_file(),
        "{} is missing: build it with `cargo build -p benches --example slow_lane`",
        found.display()
    );
    found
}

/// Starts [`LANE`] through the example. `name` is the example's file name; it slows down the lane
/// `threadbare`.
fn start(name: &str, lane: &str) -> Result<LaneProcess, LaneFailure> {
    let example = example();
    let folder = tempfile::tempdir_in(example.parent().unwrap()).unwrap();
    let program = folder.path().join(name);
    // A link, because a copy cannot be executed while a child that another test has just forked
    // still has it open for writing.
    std::fs::hard_link(&example, &program).unwrap();
    let command = LaneCommand {
        program,
        arguments: ["-c", LANE, "sh", "--lane", lane].map(Into::into).into(),
        variables: vec![
            ("SLOW_LANE".into(), "threadbare".into()),
            ("SLOW_PROGRAM".into(), "/bin/sh".into()),
        ],
    };
    let limits = Limits {
        hello: Duration::from_secs(20),
        sample: Duration::from_secs(20),
    };
    LaneProcess::start(
        &command,
        &Cpus::allowed().unwrap(),
        limits,
        &Stop::default(),
    )
}

fn sample(lane: &mut LaneProcess) -> Sample {
    match lane.run("spawn.one", &BTreeMap::new(), 1).unwrap() {
        Answer::Sample(sample) => *sample,
        refused => panic!("{refused:?}"),
    }
}

#[test]
fn slow_lane_makes_times_of_its_lane_longer_and_nothing_else() {
    let mut lane = start("slow-by-10", "threadbare").unwrap();
    for id in 1..=3 {
        let sample = sample(&mut lane);
        assert_eq!((sample.id, sample.elapsed_ns), (id, 1_100));
        assert_eq!((sample.checksum, sample.cpu_ns), (7, 400));
        assert_eq!(sample.voluntary_switches_count, 3);
    }
    lane.quit().unwrap();
}

#[test]
fn slow_lane_by_nothing_and_other_lanes_keep_their_times() {
    for (name, lane) in [("slow-by-0", "threadbare"), ("slow-by-10", "thread")] {
        let mut lane = start(name, lane).unwrap();
        assert_eq!(sample(&mut lane).elapsed_ns, 1_000, "{name}");
        lane.quit().unwrap();
    }
}

#[test]
fn slow_lane_becomes_the_lane_whose_process_the_study_watches() {
    for lane in ["threadbare", "thread"] {
        let lane = start("slow-by-10", lane).unwrap();
        assert_eq!(lane.hello().pid, std::process::id());
    }
}

#[test]
fn slow_lane_without_a_number_in_its_name_says_what_to_do() {
    let failure = start("slow_lane", "threadbare").expect_err("by how much?");
    assert!(
        failure.last_words.contains("slow-by-10"),
        "{:?}",
        failure.last_words
    );
}
