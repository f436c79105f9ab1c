//! `service.http` with a real PostgreSQL as its backend, on each lane that has a client for it.

mod lane;
#[path = "../../bench-runtime/checks/crates/tests/postgres_server/mod.rs"]
mod postgres_server;
mod program;

use std::fs;
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use workloads::catalogue::{self, Size};
use workloads::protocol::{ErrorKind, Response};
use workloads::service::database;

use lane::Program;
use postgres_server::Server;
use program::{text, threadbare};

fn run_threadbare(arguments: &[&str]) -> Output {
    threadbare().args(arguments).output().unwrap()
}

#[test]
fn every_lane_with_a_client_gives_the_same_answers_as_with_another_backend() {
    let Some(server) = Server::find() else {
        return;
    };
    database::fill(&server.config()).unwrap();
    let workload = catalogue::find("service.http").unwrap();
    let mut case = workload.cases(Size::Tiny, 2).remove(0);
    case.insert("backend".to_owned(), 2);
    for name in database::LANES {
        let mut command = lane::command(name).unwrap();
        let variable = (database::DATABASE.into(), server.config().into());
        command.variables.push(variable);
        let (mut program, _) = Program::start(&command);
        match program.run(1, workload.id, &case, 1) {
            Response::Sample(sample) => {
                // The checksum covers the answers.
                let right = workload.expected(&case, 1);
                let checked = workload.check_answer(&sample, &case, 1, right);
                assert_eq!(checked, Ok(()), "{name}");
                assert_eq!(sample.metrics["errors_count"], 0.0, "{name}: {sample:?}");
                assert_eq!(sample.metrics["lost_count"], 0.0, "{name}: {sample:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn run_with_a_database_measures_lanes_with_its_client_and_hides_its_address() {
    let Some(server) = Server::find() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let config = server.config();
    let arguments = ["run", "--smoke", "--service", &config, "--out", out];
    let lanes = ["--lane", "thread,tokio", "--budget", "300"];
    let output = run_threadbare(&[&arguments[..], &lanes].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = fs::read_to_string(folder.path().join("run.jsonl")).unwrap();
    assert!(!run.contains(&config) && run.contains("\"--service\",\"ADDRESS\""));
    assert!(run.contains("\"backend\":2"), "{run}");
}

#[test]
fn run_whose_database_is_killed_names_failed_cells_and_measures_the_rest() {
    const TIMEOUT: Duration = Duration::from_secs(300);
    let Some(mut server) = Server::find() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.jsonl");
    let mut run = threadbare()
        .args(["run", "--smoke", "--service", &server.config()])
        .args([
            "--lane",
            "thread,tokio",
            "--processes",
            "8",
            "--budget",
            "300",
        ])
        .arg("--out")
        .arg(folder.path())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let mut wait_for = |kind: &str| {
        let line = format!("{{\"type\":\"{kind}\"");
        while !fs::read_to_string(&file).is_ok_and(|text| text.contains(&line)) {
            assert!(start.elapsed() < TIMEOUT, "no {kind}");
            assert!(
                run.try_wait().unwrap().is_none(),
                "it ended before a {kind}"
            );
            sleep(Duration::from_millis(5));
        }
    };
    wait_for("group");
    server.end();
    wait_for("failure");
    server.start_again();
    let output = run.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = reports::store::read(&file).unwrap();
    assert!(run.is_complete());
    for failure in &run.failures {
        let words = ["at no rate", "of the last", "failed"];
        let says = words.iter().all(|word| failure.message.contains(word));
        assert!(says, "{failure:?}");
    }
    for lane in ["thread", "tokio"] {
        let groups = run.groups.iter().filter(|group| group.lane == lane);
        let last = groups.map(|group| group.process_index).max();
        assert_eq!(last, Some(7), "{lane}");
    }
}

#[test]
fn lane_without_a_client_or_without_an_address_says_so() {
    let workload = catalogue::find("service.http").unwrap();
    let mut case = workload.cases(Size::Tiny, 2).remove(0);
    case.insert("backend".to_owned(), 2);
    for (lane, kind, says) in [
        ("smol", ErrorKind::NotSupported, "no client"),
        ("may", ErrorKind::NotSupported, "no client"),
        ("thread", ErrorKind::Failed, "--service"),
    ] {
        let (mut program, _) = Program::start(&lane::command(lane).unwrap());
        match program.run(1, workload.id, &case, 1) {
            Response::Error {
                kind: actual_kind,
                message,
                ..
            } => assert!(
                actual_kind == kind && message.contains(says),
                "{lane}: {message}"
            ),
            other => panic!("{lane}: {other:?}"),
        }
    }
}

#[test]
fn wrong_address_absent_server_and_lane_without_a_client_are_reported_before_the_run() {
    for (address, lane, says) in [
        ("nonsense", "thread", "this is no address of a PostgreSQL"),
        (
            "postgresql://127.0.0.1:1/x",
            "thread",
            "no PostgreSQL can be reached",
        ),
        (
            "postgresql://127.0.0.1:1/x",
            "go",
            "go has no client of PostgreSQL",
        ),
    ] {
        let output = run_threadbare(&["run", "--smoke", "--service", address, "--lane", lane]);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(says), "{errors}");
    }
}
