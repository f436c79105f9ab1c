//! A lane that misbehaves costs only its own answer. Each lane is a small shell script.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use benches::cpus::Cpus;
use benches::lane_process::{Answer, Cause, LaneCommand, LaneFailure, LaneProcess, Limits, Stop};
use workloads::protocol::ErrorKind;

const HELLO: &str = r#"echo '{"type":"hello","protocol":1,"lane":"sh","language":"sh","runtime":"none","pid":1,"cpus_count":1,"workloads":{"spawn.one":null}}'"#;
const SAMPLE: &str = r#"echo '{"type":"sample","id":1,"elapsed_ns":5,"operations_count":1,"checksum":7,"cpu_ns":0,"voluntary_switches_count":0,"involuntary_switches_count":0}'"#;

const SHORT: Limits = Limits {
    hello: Duration::from_secs(10),
    sample: Duration::from_millis(400),
};
const LONG: Limits = Limits {
    hello: Duration::from_secs(10),
    sample: Duration::from_secs(20),
};

fn shell(script: &str) -> LaneCommand {
    LaneCommand {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        variables: Vec::new(),
    }
}

fn start(script: &str, limits: Limits) -> Result<LaneProcess, LaneFailure> {
    LaneProcess::start(
        &shell(script),
        &Cpus::allowed().unwrap(),
        limits,
        &Stop::default(),
    )
}

/// Starts a lane that runs `script` after its hello, and requests a sample.
fn sample_of(script: &str, limits: Limits) -> Result<Answer, LaneFailure> {
    let mut lane = start(&format!("{HELLO}; read request; {script}"), limits).unwrap();
    assert_eq!(lane.hello().lane, "sh");
    lane.run("spawn.one", &BTreeMap::new(), 1)
}

fn failure_of(script: &str, limits: Limits) -> LaneFailure {
    sample_of(script, limits).expect_err("this lane gives no sample")
}

#[test]
fn a_lane_that_answers_gives_its_sample_and_quits() {
    let script = format!("{HELLO}; read request; {SAMPLE}; read quit");
    let mut lane = start(&script, LONG).unwrap();
    let answer = lane.run("spawn.one", &BTreeMap::new(), 1).unwrap();
    let Answer::Sample(sample) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!((sample.elapsed_ns, sample.checksum), (5, 7));
    lane.quit().unwrap();
}

#[test]
fn the_request_a_lane_reads_is_one_line_of_json() {
    let script = format!(
        r#"{HELLO}; read -r request; case $request in '{{"type":"run","id":1,"workload":"spawn.one","parameters":{{}},"iterations":3}}') {SAMPLE};; esac; read quit"#
    );
    let mut lane = start(&script, LONG).unwrap();
    lane.run("spawn.one", &BTreeMap::new(), 3).unwrap();
    lane.quit().unwrap();
}

#[test]
fn a_lane_that_crashes_is_reported_as_killed_by_its_signal() {
    let failure = failure_of("echo 'out of luck' >&2; kill -SEGV $$", LONG);
    assert_eq!(
        failure.cause,
        Cause::Killed {
            signal: "SIGSEGV".into(),
            out_of_memory: false
        }
    );
    assert_eq!(
        failure.to_string(),
        "killed by SIGSEGV, when asked for a sample; its last words: out of luck"
    );
}

#[test]
fn a_crash_is_seen_though_a_forked_child_keeps_the_pipes_open() {
    let began = Instant::now();
    let failure = failure_of("sleep 60 & kill -SEGV $$", LONG);
    assert_eq!(
        failure.cause,
        Cause::Killed {
            signal: "SIGSEGV".into(),
            out_of_memory: false
        }
    );
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "waited for the orphan"
    );
}

#[test]
fn a_lane_that_exits_tells_its_status() {
    assert_eq!(failure_of("exit 3", LONG).cause, Cause::Exited(3));
}

#[test]
fn lane_that_hangs_is_killed_at_its_limit_with_its_forked_children() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pid");
    let failure = failure_of(
        &format!("sleep 1000 & echo $! > {}; wait", pids.display()),
        SHORT,
    );
    assert_eq!(failure.cause, Cause::TimedOut(SHORT.sample));
    assert_eq!(
        failure.to_string(),
        "timed out after 400 ms, when asked for a sample"
    );
    let pid = std::fs::read_to_string(&pids).unwrap().trim().to_owned();
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_alive(&pid) {
        assert!(
            Instant::now() < deadline,
            "the grandchild {pid} outlived its group"
        );
        std::thread::yield_now();
    }
}

#[test]
fn readings_of_the_memory_do_not_begin_a_lanes_limit_again() {
    // Each pause is shorter than the limit, and all three together are longer.
    let ask = r#"sleep 0.3; echo '{"type":"read_memory"}'; read answer"#;
    let script = format!("{ask}; {ask}; sleep 0.3; {SAMPLE}; read quit");
    assert_eq!(
        failure_of(&script, SHORT).cause,
        Cause::TimedOut(SHORT.sample)
    );
}

#[test]
fn lane_that_reads_the_memory_without_end_is_ended() {
    let script = r#"while :; do echo '{"type":"read_memory"}'; read answer; done"#;
    let failure = failure_of(script, LONG);
    assert!(
        matches!(&failure.cause, Cause::Garbage { why, .. } if why.contains("third reading")),
        "{failure}"
    );
}

/// A zombie counts as dead.
fn is_alive(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn an_answer_that_is_no_json_is_named_garbage_and_quoted() {
    let failure = failure_of("echo 'Segmentation what?'", LONG);
    let Cause::Garbage { line, .. } = &failure.cause else {
        panic!("{failure}")
    };
    assert_eq!(line, "Segmentation what?");
    assert_eq!(failure.cause.kind(), "garbage");
}

#[test]
fn half_a_line_and_then_silence_times_out() {
    let failure = failure_of(r#"printf '{"type":"sam'; sleep 60"#, SHORT);
    assert_eq!(failure.cause, Cause::TimedOut(SHORT.sample));
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let failure = failure_of(
        "while :; do printf 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx%65536d' 1; done",
        LONG,
    );
    let Cause::Garbage { why, line } = &failure.cause else {
        panic!("{failure}")
    };
    assert!(why.contains("a line of more than"), "{why}");
    assert!(line.len() <= 120);
}

#[test]
fn an_answer_to_another_request_is_garbage() {
    let failure = failure_of(&SAMPLE.replace(r#""id":1"#, r#""id":2"#), LONG);
    assert!(
        failure.to_string().contains("the id of another request"),
        "{failure}"
    );
}

#[test]
fn a_sample_without_time_is_garbage() {
    let failure = failure_of(
        &SAMPLE.replace(r#""elapsed_ns":5"#, r#""elapsed_ns":0"#),
        LONG,
    );
    assert!(failure.to_string().contains("elapsed_ns"), "{failure}");
}

#[test]
fn lane_that_refuses_a_sample_continues() {
    let script = format!(
        r#"{HELLO}; read a; echo '{{"type":"error","id":1,"kind":"limit","message":"EAGAIN at 9 threads"}}'; read b; {}; read quit"#,
        SAMPLE.replace(r#""id":1"#, r#""id":2"#)
    );
    let mut lane = start(&script, LONG).unwrap();
    let refused = lane.run("spawn.one", &BTreeMap::new(), 1).unwrap();
    assert_eq!(
        refused,
        Answer::Refused {
            kind: ErrorKind::Limit,
            message: "EAGAIN at 9 threads".into()
        }
    );
    assert!(matches!(
        lane.run("spawn.one", &BTreeMap::new(), 1).unwrap(),
        Answer::Sample(_)
    ));
    lane.quit().unwrap();
}

#[test]
fn a_lane_that_dies_before_its_hello_fails_to_start() {
    let failure = start("echo 'cannot open libfoo' >&2; exit 127", LONG).unwrap_err();
    assert_eq!(failure.cause, Cause::Exited(127));
    assert_eq!(failure.last_words, "cannot open libfoo");
    assert_eq!(failure.asked, "to say hello");
}

#[test]
fn a_lane_that_says_no_hello_times_out() {
    let limits = Limits {
        hello: Duration::from_millis(300),
        ..SHORT
    };
    let failure = start("sleep 60", limits).unwrap_err();
    assert_eq!(failure.cause, Cause::TimedOut(limits.hello));
}

#[test]
fn another_version_of_the_protocol_is_refused() {
    let failure = start(&HELLO.replace(r#""protocol":1"#, r#""protocol":99"#), LONG).unwrap_err();
    assert_eq!(failure.cause, Cause::WrongProtocol(99));
}

#[test]
fn missing_program_is_named() {
    let command = LaneCommand {
        program: "/nonexistent/lane".into(),
        ..LaneCommand::default()
    };
    let cpus = Cpus::allowed().unwrap();
    let failure = LaneProcess::start(&command, &cpus, LONG, &Stop::default()).unwrap_err();
    assert!(
        failure
            .to_string()
            .starts_with("could not be started: /nonexistent/lane"),
        "{failure}"
    );
}

#[test]
fn a_lane_that_writes_much_on_stderr_is_not_blocked_by_it() {
    let noise = "i=0; while [ $i -lt 4000 ]; do echo 'a line of noise, and a long one at that' >&2; i=$((i+1)); done";
    assert!(matches!(
        sample_of(&format!("{noise}; {SAMPLE}"), LONG),
        Ok(Answer::Sample(_))
    ));
}

#[test]
fn a_lane_that_closes_stderr_still_answers() {
    assert!(matches!(
        sample_of(&format!("exec 2>&-; {SAMPLE}"), LONG),
        Ok(Answer::Sample(_))
    ));
}

#[test]
fn a_request_to_stop_ends_the_wait_for_a_sample() {
    let stop = Stop::default();
    let cpus = Cpus::allowed().unwrap();
    let script = format!("{HELLO}; read request; sleep 60");
    let mut lane = LaneProcess::start(&shell(&script), &cpus, LONG, &stop).unwrap();
    stop.ask();
    let failure = lane.run("spawn.one", &BTreeMap::new(), 1).unwrap_err();
    assert_eq!(failure.cause, Cause::Interrupted);
}

#[test]
fn a_lane_that_does_not_quit_times_out() {
    let lane = start(&format!("{HELLO}; while :; do sleep 1; done"), LONG).unwrap();
    let failure = lane.quit().unwrap_err();
    assert!(matches!(failure.cause, Cause::TimedOut(_)), "{failure}");
}

#[test]
fn lane_runs_on_the_given_cpus_and_leads_its_process_group() {
    let cpu = Cpus::allowed().unwrap().numbers()[0];
    let one: Cpus = cpu.to_string().parse().unwrap();
    let script = format!(
        r#"{HELLO}; read request; cpus=$(grep Cpus_allowed_list /proc/self/status | cut -f2); set -- $(cat /proc/$$/stat); echo "{{\"type\":\"error\",\"id\":1,\"kind\":\"failed\",\"message\":\"$cpus $(( $5 == $$ ))\"}}"; read quit"#
    );
    let mut lane = LaneProcess::start(&shell(&script), &one, LONG, &Stop::default()).unwrap();
    let answer = lane.run("spawn.one", &BTreeMap::new(), 1).unwrap();
    assert_eq!(
        answer,
        Answer::Refused {
            kind: ErrorKind::Failed,
            message: format!("{cpu} 1")
        }
    );
}

/// Runs the next test in a child that has the variable, because a process can change its own
/// environment only with unsafe code.
#[test]
fn variables_that_would_change_a_lanes_cpus_do_not_reach_it() {
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "inside_a_study_with_gomaxprocs_set"])
        .env("GOMAXPROCS", "7")
        .env("KEPT", "kept")
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "run by the test above, with GOMAXPROCS in the environment"]
fn inside_a_study_with_gomaxprocs_set() {
    assert_eq!(std::env::var("GOMAXPROCS").unwrap(), "7");
    let script = format!(
        r#"{HELLO}; read request; echo "{{\"type\":\"error\",\"id\":1,\"kind\":\"failed\",\"message\":\"[$GOMAXPROCS] $KEPT $ADDED\"}}"; read quit"#
    );
    let command = LaneCommand {
        variables: vec![("ADDED".into(), "added".into())],
        ..shell(&script)
    };
    let cpus = Cpus::allowed().unwrap();
    let mut lane = LaneProcess::start(&command, &cpus, LONG, &Stop::default()).unwrap();
    let Answer::Refused { message, .. } = lane.run("w", &BTreeMap::new(), 1).unwrap() else {
        panic!("the script refuses")
    };
    assert_eq!(message, "[] kept added");
}

#[test]
fn a_lane_dies_with_the_thread_that_started_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!(
        "{HELLO}; echo $$ > {}; read request; sleep 60",
        file.display()
    );
    std::thread::spawn(move || {
        let lane = start(&script, LONG).unwrap();
        // A study that is killed runs no destructors.
        std::mem::forget(lane);
    })
    .join()
    .unwrap();
    // If the script was killed before it wrote its pid, it is dead too.
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Ok(pid) = std::fs::read_to_string(&file) {
        if !is_alive(pid.trim()) {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "the lane outlived the thread that started it"
        );
        std::thread::yield_now();
    }
}

#[test]
fn the_lane_that_runs_can_be_killed_from_another_thread() {
    let stop = Stop::default();
    let cpus = Cpus::allowed().unwrap();
    let script = format!("{HELLO}; read request; sleep 60");
    let mut lane = LaneProcess::start(&shell(&script), &cpus, LONG, &stop).unwrap();
    std::thread::spawn(move || stop.kill_lane()).join().unwrap();
    let failure = lane.run("spawn.one", &BTreeMap::new(), 1).unwrap_err();
    assert!(matches!(failure.cause, Cause::Killed { .. }), "{failure}");
}

#[test]
fn processes_in_a_new_session_are_ended_with_their_lane() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let stray = format!(
        "setsid sh -c 'echo $$ >{0}.new; mv {0}.new {0}; exec sleep 1000' &",
        file.display()
    );
    let script = format!("{stray} {HELLO}; read request");
    let lane = start(&script, LONG).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !file.exists() {
        assert!(Instant::now() < deadline, "the child did not start");
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = std::fs::read_to_string(&file).unwrap();
    let of_it = format!("/proc/{}/cmdline", pid.trim());
    assert!(std::fs::read_to_string(&of_it).is_ok());
    lane.quit().unwrap();
    // The process id is unused, or belongs to another process.
    let now = std::fs::read_to_string(&of_it).unwrap_or_default();
    assert!(!now.contains("sleep"), "{now}");
}

#[test]
fn forked_children_of_a_lane_are_reaped_when_its_group_is_killed() {
    let forks = "i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done;";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("group");
    let script = format!("{forks} echo $$ >{}; {HELLO}; read request", file.display());
    drop(start(&script, LONG).unwrap());
    let group: i32 = std::fs::read_to_string(&file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let left = stats.filter(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The fields after the name: state, parent, process group.
        let mut fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
        fields.nth(2).and_then(|one| one.parse().ok()) == Some(group)
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn one_limit_bounds_the_hello_as_well() {
    let failure = start("sleep 100", Limits::all(Duration::from_millis(200))).unwrap_err();
    assert_eq!(failure.cause, Cause::TimedOut(Duration::from_millis(200)));
    assert_eq!(failure.asked, "to say hello");
}
