//! `service.http` on each lane that has it. The tests send the requests in place of the load
//! generator. Errors of clients and backends must not end a service: it answers with a status. A
//! missing toolchain skips its test, as in `foreign.rs`.

#[macro_use]
mod lane;
#[path = "../../bench-runtime/checks/crates/tests/postgres_server/mod.rs"]
mod postgres_server;
mod program;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::channel;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use workloads::catalogue::{self, Size};
use workloads::host::children::descendants;
use workloads::protocol::{Parameters, Response};
use workloads::service::database;

use lane::Program;
use postgres_server::Server;
use program::{text, threadbare};

/// The output of [`load_script`] as a load generator.
const REPORT: &str = r#"{"elapsed_ns":1,"operations_count":60,"checksum":60,"cpu_ns":0,"voluntary_switches_count":0,"involuntary_switches_count":0,"latency":{"corrected":true,"offered_per_s":1.0,"achieved_per_s":1.0,"buckets":[[1,60]]},"metrics":{"load_asked_count":60.0}}"#;
const LOAD: &str = "THREADBARE_LOAD";
const TIMEOUT: Duration = Duration::from_secs(60);

/// A lane that takes a sample.
struct Service {
    program: Program,
    folder: tempfile::TempDir,
    address: SocketAddr,
    drained: bool,
}

impl Service {
    /// `None` if the lane's toolchain is missing.
    fn start(lane: &str, change: impl FnOnce(&mut Parameters)) -> Option<Self> {
        Self::start_with(lane, None, change)
    }

    fn start_with(
        lane: &str,
        database: Option<&str>,
        change: impl FnOnce(&mut Parameters),
    ) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let change_load = |own: &Path| load_script(folder.path(), own).into();
        let mut program = start(lane, database, change_load)?;
        let workload = catalogue::find("service.http").unwrap();
        let mut case = workload.cases(Size::Tiny, 2).remove(0);
        change(&mut case);
        program.send_run(1, workload.id, &case, 1);
        let address = wait_for(&folder.path().join("address")).parse().unwrap();
        Some(Self {
            program,
            folder,
            address,
            drained: false,
        })
    }

    fn backend(&self) -> Pid {
        let number = wait_for(&self.folder.path().join("backend"));
        Pid::from_raw(number.parse().unwrap())
    }

    /// Ends the service after it has answered all pending requests.
    fn drain(&mut self) {
        self.drained = true;
        let ended = ask(self.address, "/drain", "u0:secret of u0", "");
        assert_eq!(ended.0, 200, "{ended:?}");
    }

    /// Ends the service. The lane must return its sample and take another.
    fn end(mut self) {
        if !self.drained {
            self.drain();
        }
        fs::write(self.folder.path().join("done"), "").unwrap();
        match self.program.answer() {
            Response::Sample(sample) => assert_eq!(sample.checksum, 60),
            other => panic!("{other:?}"),
        }
        let listens = TcpStream::connect(self.address).is_ok();
        assert!(!listens, "it still listens");
        let batch = Parameters::from([("tasks_count".to_owned(), 3)]);
        let next = self.program.run(2, "spawn.batch", &batch, 1);
        assert!(matches!(next, Response::Sample(sample) if sample.checksum == 6));
        let (status, rest) = self.program.end();
        assert!(status.success() && rest.is_empty(), "{status} {rest}");
    }
}

/// Starts a lane. `change` replaces the path of the load generator. `None` if the lane's toolchain
/// is missing or too old.
fn start(
    lane: &str,
    database: Option<&str>,
    change: impl FnOnce(&Path) -> OsString,
) -> Option<Program> {
    let mut command = lane::command(lane)?;
    let database = database.map(|address| (database::DATABASE.into(), address.into()));
    command.variables.extend(database);
    let mut variables = command.variables.iter_mut();
    let (_, load) = variables.find(|(name, _)| name == LOAD).unwrap();
    *load = change(Path::new(&*load));
    let (program, hello) = Program::start(&command);
    match &hello.workloads["service.http"] {
        None => Some(program),
        Some(why) => {
            lane::skipped(&format!("{lane}: {why}"));
            None
        }
    }
}

/// A script for the load generator. As a backend it writes its process id to a file and executes
/// `own`. As a load generator it writes the service's address to a file, and waits for the file
/// `done`.
fn load_script(folder: &Path, own: &Path) -> PathBuf {
    let path = folder.join("load");
    let (own, folder) = (own.display(), folder.display());
    let script = format!(
        "#!/bin/sh\ncase $1 in\nbackend) echo $$ >{folder}/b; mv {folder}/b {folder}/backend; exec {own} \"$@\";;\n*) echo $3 >{folder}/a; mv {folder}/a {folder}/address; while [ ! -e {folder}/done ]; do sleep 0.01; done; echo '{REPORT}';;\nesac\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn wait_for(path: &Path) -> String {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < TIMEOUT, "no {}", path.display());
        sleep(Duration::from_millis(5));
    }
    fs::read_to_string(path).unwrap().trim().to_owned()
}

fn request(path: &str, token: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn answer(&mut self) -> (u16, Value) {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line:?}"));
        let status = status.parse().unwrap();
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            let (name, value) = match line.trim().split_once(':') {
                Some(pair) => pair,
                None => break,
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        let body = serde_json::from_slice(&body);
        (status, body.unwrap_or(Value::Null))
    }

    fn is_closed(&mut self) -> bool {
        !matches!(self.0.read(&mut [0]), Ok(1..))
    }
}

fn ask(address: SocketAddr, path: &str, token: &str, body: &str) -> (u16, Value) {
    let mut client = Client::new(address);
    client.send(&request(path, token, body));
    client.answer()
}

fn answers(service: &Service) -> Vec<(u16, Value)> {
    let routes = ["/cheap", "/compute", "/fan-out", "/slow"];
    let items = [0, 7, 998, 999];
    let mut client = Client::new(service.address);
    let mut all = Vec::new();
    for path in routes {
        for item in items {
            client.send(&request(
                path,
                "u3:secret of u3",
                &format!(r#"{{"item":{item}}}"#),
            ));
            all.push(client.answer());
        }
    }
    all
}

fn every_route_is_answered_and_errors_have_their_status(lane: &str) -> Option<Vec<(u16, Value)>> {
    let service = Service::start(lane, |_| ())?;
    let all = answers(&service);
    for (status, body) in &all {
        assert_eq!(*status, 200, "{lane}: {body}");
        let text = serde_json::to_string(body).unwrap();
        assert!((650..1_300).contains(&text.len()), "{lane}: {text}");
    }
    let wrong = [
        ("/cheap", "u3:secret of u4", r#"{"item":1}"#, 401),
        ("/cheap", "nonsense", r#"{"item":1}"#, 401),
        ("/cheap", "u3:secret of u3", "[1", 400),
        ("/nowhere", "u3:secret of u3", r#"{"item":1}"#, 404),
    ];
    for (path, token, body, status) in wrong {
        let told = ask(service.address, path, token, body);
        assert_eq!(told.0, status, "{lane} {path} {token}: {told:?}");
    }
    service.end();
    Some(all)
}

fn client_that_leaves_during_a_request_does_no_harm(lane: &str) {
    let Some(service) = Service::start(lane, |_| ()) else {
        return;
    };
    let whole = request("/fan-out", "u3:secret of u3", r#"{"item":1}"#);
    let mut stays = Client::new(service.address);
    for cut in [1, 20, whole.len() - 1, whole.len()] {
        // The last client closes its connection before the answer.
        Client::new(service.address).send(&whole[..cut]);
        stays.send(&whole);
        assert_eq!(stays.answer().0, 200, "{lane} at {cut}");
    }
    let mut mad = Client::new(service.address);
    mad.send("\0\u{1}\u{2} this is not HTTP\r\n\r\n");
    let mut said = Vec::new();
    let _ = mad.0.read_to_end(&mut said);
    assert!(
        said.is_empty() || said.starts_with(b"HTTP/1.1 40"),
        "{lane}: {said:?}"
    );
    stays.send(&whole);
    assert_eq!(stays.answer().0, 200, "{lane}");
    service.end();
}

/// Stops the process, and waits until all of its threads have stopped.
fn stop(process: Pid) {
    kill(process, Signal::SIGSTOP).unwrap();
    let start = Instant::now();
    let is_stopped = || {
        let mut threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        threads.all(|thread| {
            let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
            stat.rsplit(')')
                .next()
                .unwrap()
                .trim_start()
                .starts_with('T')
        })
    };
    while !is_stopped() {
        assert!(start.elapsed() < TIMEOUT, "{process} is not stopped");
        sleep(Duration::from_millis(1));
    }
}

fn backend_that_is_killed_or_stalls_is_answered_by_a_status(lane: &str) {
    let Some(service) = Service::start(lane, |case| {
        case.insert("timeout_ns".to_owned(), 300_000_000);
    }) else {
        return;
    };
    let whole = request("/fan-out", "u3:secret of u3", r#"{"item":1}"#);
    let mut client = Client::new(service.address);
    let mut status = || {
        client.send(&whole);
        client.answer().0
    };
    let backend = service.backend();
    assert_eq!(status(), 200, "{lane}");
    stop(backend);
    assert_eq!(status(), 504, "{lane} while it stalls");
    kill(backend, Signal::SIGCONT).unwrap();
    assert_eq!(status(), 200, "{lane} after it stalled");
    kill(backend, Signal::SIGKILL).unwrap();
    // The kernel closes the backend's sockets a moment later.
    let start = Instant::now();
    while status() != 502 {
        assert!(start.elapsed() < TIMEOUT, "{lane}");
    }
    assert_eq!(status(), 502, "{lane} when it is gone");
    service.end();
}

fn excess_request_is_refused_and_pending_ones_are_answered_before_the_end(lane: &str) {
    let Some(mut service) = Service::start(lane, |case| {
        case.insert("in_flight_count".to_owned(), 2);
        case.insert("timeout_ns".to_owned(), TIMEOUT.as_nanos() as u64);
    }) else {
        return;
    };
    let mut idle = Client::new(service.address);
    idle.send(&request("/nowhere", "", ""));
    assert_eq!(idle.answer().0, 404);
    stop(service.backend());
    let (told, tells) = channel();
    for _ in 0..3 {
        let (address, told) = (service.address, told.clone());
        thread::spawn(move || {
            let mut client = Client::new(address);
            client.send(&request("/cheap", "u3:secret of u3", r#"{"item":1}"#));
            let (status, body) = client.answer();
            // The close of a refused connection is not checked.
            told.send((status, body, status == 503 || client.is_closed()))
        });
    }
    let (status, body, _) = tells.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(status, 503, "{lane}: {body}");
    let error = body["error"].as_str().unwrap();
    assert!(error.contains("too many"), "{lane}: {body}");
    service.drain();
    kill(service.backend(), Signal::SIGCONT).unwrap();
    for _ in 0..2 {
        let (status, body, is_closed) = tells.recv_timeout(TIMEOUT).unwrap();
        assert_eq!((status, is_closed), (200, true), "{lane}: {body}");
    }
    assert!(idle.is_closed(), "{lane}");
    service.end();
}

fn whole(lane: &str) {
    let Some(answers) = every_route_is_answered_and_errors_have_their_status(lane) else {
        return;
    };
    if lane != FIRST
        && let Some(first) = every_route_is_answered_and_errors_have_their_status(FIRST)
    {
        assert_eq!(answers, first, "{lane} against {FIRST}");
    }
    client_that_leaves_during_a_request_does_no_harm(lane);
    backend_that_is_killed_or_stalls_is_answered_by_a_status(lane);
    excess_request_is_refused_and_pending_ones_are_answered_before_the_end(lane);
}

/// Other lanes must give the same answers as this lane.
const FIRST: &str = "thread";

lanes! {
    thread_for_each_connection: "thread",
    thread_pool_with_a_poller: "thread-pool",
    process_for_each_connection: "process",
    preforked_processes: "process-pool",
    goroutines: "threadbare",
    goroutines_that_migrate: "threadbare-migrating",
    tokio: "tokio",
    tokio_on_one_thread: "tokio-ct",
    smol: "smol",
    may: "may",
    go: "go",
    java_threads: "java-thread",
    java_virtual_threads: "java-virtual",
    node_promises: "node-async",
    python_asyncio: "python-asyncio",
}

/// The search took minutes when it made a fixed number of requests even at a low rate.
#[test]
fn search_without_time_gives_the_first_rate_or_an_error() {
    let workload = catalogue::find("service.http").unwrap();
    let mut case = workload.cases(Size::Tiny, 2).remove(0);
    case.insert("search_ns".to_owned(), 1);
    let mut program = start("thread", None, |own| own.into()).unwrap();
    match program.run(1, workload.id, &case, 1) {
        Response::Sample(sample) => {
            assert_eq!(workload.check_answer(&sample, &case, 1, 1), Ok(()));
            assert_eq!(sample.metrics["rate_per_s"], 200.0);
            assert_eq!(sample.metrics["rate_gap_ratio"], 4.0);
            // 0.1 s at half of that rate.
            assert_eq!(sample.operations_count, 10);
        }
        other => panic!("{other:?}"),
    }
    // No answer arrives within a nanosecond, whatever the rate.
    case.insert("limit_ns".to_owned(), 1);
    match program.run(2, workload.id, &case, 1) {
        Response::Error { message, .. } => assert!(message.contains("at no rate"), "{message}"),
        other => panic!("{other:?}"),
    }
    let (status, rest) = program.end();
    assert!(status.success() && rest.is_empty(), "{status} {rest}");
}

/// The service also answers with a status when the database's client library fails.
#[test]
fn stalled_or_killed_database_gives_an_error_status_until_it_is_back() {
    let Some(mut server) = Server::find() else {
        return;
    };
    database::fill(&server.config()).unwrap();
    for lane in database::LANES {
        let service = Service::start_with(lane, Some(&server.config()), |case| {
            case.insert("backend".to_owned(), 2);
            case.insert("timeout_ns".to_owned(), 300_000_000);
        })
        .unwrap();
        let whole = request("/fan-out", "u3:secret of u3", r#"{"item":1}"#);
        let mut client = Client::new(service.address);
        let mut status = || {
            client.send(&whole);
            client.answer().0
        };
        // The service needs a moment to connect and to recover.
        let mut wait_for_status = |wanted, when: &str| {
            let start = Instant::now();
            let mut last = 0;
            while last != wanted {
                assert!(start.elapsed() < TIMEOUT, "{lane} {when}: {last}");
                last = status();
            }
        };
        wait_for_status(200, "at first");
        server.stop();
        wait_for_status(504, "while it stalls");
        server.go_on();
        wait_for_status(200, "after it stalled");
        server.end();
        wait_for_status(502, "when it is gone");
        server.start_again();
        wait_for_status(200, "when it is back");
        service.end();
    }
}

fn run_of(lane: &str, folder: &Path, more: &[&str]) -> Command {
    let mut run = threadbare();
    run.args(["run", "--smoke", "--workload", "service.http"])
        .args(["--lane", lane, "--budget", "200"])
        .args(more)
        .arg("--out")
        .arg(folder);
    run
}

fn has_first_argument(process: u32, word: &str) -> bool {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|&byte| byte == 0).nth(1) == Some(word.as_bytes())
}

/// Waits until `run` has a helper with this first argument. Returns the helper, and all processes
/// of the run.
fn wait_for_helper(run: &mut Child, word: &str) -> (u32, Vec<u32>) {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < TIMEOUT, "there is no {word}");
        assert!(run.try_wait().unwrap().is_none(), "it has ended");
        let all = descendants(run.id());
        match all
            .iter()
            .find(|&&process| has_first_argument(process, word))
        {
            Some(&helper) => return (helper, all),
            None => sleep(Duration::from_millis(1)),
        }
    }
}

#[test]
fn run_whose_backend_is_killed_measures_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = run_of("thread", folder.path(), &["--processes", "4"]);
    let mut run = run.spawn().unwrap();
    // Each sample has its own backend; this is the first sample's.
    let (backend, _) = wait_for_helper(&mut run, "backend");
    kill(Pid::from_raw(backend.cast_signed()), Signal::SIGKILL).unwrap();
    let output = run.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run = reports::store::read(&folder.path().join("run.jsonl")).unwrap();
    assert!(run.is_complete());
    // The run has four processes, and a control for each.
    let processes = run.groups.iter().map(|group| group.process_index);
    assert!(processes.max() >= Some(2), "{:?}", run.groups);
}

#[test]
fn run_that_is_stopped_at_any_phase_of_a_service_leaves_no_process_and_keeps_a_whole_file() {
    for lane in ["thread", "process-pool", "threadbare", "tokio", "go"] {
        if lane::command(lane).is_none() {
            continue;
        }
        // The backend starts before the service listens, the generator afterwards.
        for phase in ["backend", "load-service"] {
            let folder = tempfile::tempdir().unwrap();
            let mut run = run_of(lane, folder.path(), &["--processes", "50"]);
            let mut run = run.spawn().unwrap();
            let (_, all) = wait_for_helper(&mut run, phase);
            kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGINT).unwrap();
            let output = run.wait_with_output().unwrap();
            let errors = text(&output.stderr);
            assert_eq!(output.status.code(), Some(130), "{lane} {phase}: {errors}");
            let start = Instant::now();
            let is_alive = |process: &&u32| {
                let stat = fs::read_to_string(format!("/proc/{process}/stat"));
                // A process that has ended may be a zombie until init reaps it.
                stat.is_ok_and(|stat| !stat.contains(") Z "))
            };
            while let Some(process) = all.iter().find(is_alive) {
                let named = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
                let named = String::from_utf8_lossy(&named).replace('\0', " ");
                assert!(start.elapsed() < TIMEOUT, "{lane} {phase}: {named}");
                sleep(Duration::from_millis(5));
            }
            let file = folder.path().join("run.jsonl");
            if file.exists() {
                let kept = reports::store::read(&file).expect("a file that is whole");
                assert!(!kept.is_complete(), "{lane} {phase}");
            }
        }
    }
}

/// Needs wrk: `apt-get install wrk`.
#[test]
fn wrk_and_the_load_generator_agree_on_the_rate_of_a_service() {
    const CONNECTIONS: u64 = 4;
    let found = Command::new("wrk").arg("--version").output();
    if found.is_err() && std::env::var_os("REQUIRE_WRK").is_none() {
        lane::skipped("no wrk; apt-get install wrk");
        return;
    }
    // The backend answers 200 times a second on its single connection, even on a busy host.
    let changes = [
        ("pool_count", 1),
        ("in_flight_count", 64),
        ("delay_ns", 5_000_000),
        ("spread_ns", 0),
        ("slow_ns", 5_000_000),
        ("timeout_ns", TIMEOUT.as_nanos() as u64),
        ("connections_count", CONNECTIONS),
        ("hold_ns", 1_000_000_000),
    ];
    let mut case = Parameters::new();
    let service = Service::start("thread", |own| {
        own.extend(changes.map(|(name, value)| (name.to_owned(), value)));
        case = own.clone();
    })
    .unwrap();
    let script = service.folder.path().join("post.lua");
    fs::write(&script, POST).unwrap();
    // The service never reaches this rate, so each connection always has a request.
    case.insert("offered_per_s".to_owned(), 2_000);
    let own = || own_rate(service.address, &case);
    let theirs = || wrk_rate(service.address, &script, CONNECTIONS);
    // Other load on the host may disturb a measurement.
    let rounds = (0..10).map(|_| (own(), theirs()));
    let mut seen = Vec::new();
    let agree = rounds
        .inspect(|pair| seen.push(*pair))
        .any(|(own, theirs)| (own / theirs - 1.0).abs() < 0.05);
    assert!(agree, "{seen:?} requests a second");
    service.end();
}

const POST: &str = r#"wrk.method = "POST"
wrk.path = "/cheap"
wrk.headers["Authorization"] = "Bearer u3:secret of u3"
wrk.body = '{"item":1}'
"#;

/// Answers a second, by our generator.
fn own_rate(address: SocketAddr, case: &Parameters) -> f64 {
    let command = lane::command("thread").unwrap();
    let mut variables = command.variables.iter();
    let (_, load) = variables.find(|(name, _)| name == LOAD).unwrap();
    let output = Command::new(load)
        .args(["load-service", "--address", &address.to_string()])
        .args(case.iter().map(|(name, value)| format!("{name}={value}")))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["metrics"]["errors_count"], 0.0, "{report}");
    report["metrics"]["answered_per_s"].as_f64().unwrap()
}

/// Answers a second, by `wrk`.
fn wrk_rate(address: SocketAddr, script: &Path, connections: u64) -> f64 {
    let output = Command::new("wrk")
        .args(["-t1", "-d1s", &format!("-c{connections}"), "-s"])
        .arg(script)
        .arg(format!("http://{address}/cheap"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "{text}"
    );
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok())
        .unwrap_or_else(|| panic!("{text}"))
}

/// Needs a Redis: `apt-get install redis-server`.
#[test]
fn a_real_redis_gives_the_same_checksum() {
    let found = Command::new("redis-server").arg("--version").output();
    if found.is_err() && std::env::var_os("REQUIRE_REDIS").is_none() {
        lane::skipped("no redis-server; apt-get install redis-server");
        return;
    }
    let workload = catalogue::find("service.http").unwrap();
    let mut case = workload.cases(Size::Tiny, 2).remove(0);
    case.insert("backend".to_owned(), 1);
    for lane in ["thread", "threadbare"] {
        let (mut program, _) = Program::start(&lane::command(lane).unwrap());
        match program.run(1, workload.id, &case, 1) {
            Response::Sample(sample) => {
                let right = workload.expected(&case, 1);
                assert_eq!(workload.check_answer(&sample, &case, 1, right), Ok(()));
                assert_eq!(sample.metrics["errors_count"], 0.0, "{sample:?}");
            }
            other => panic!("{lane}: {other:?}"),
        }
    }
}
