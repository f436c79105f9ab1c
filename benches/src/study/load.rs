//! The load generator of a server: its CPUs, and its limit on them.
//!
//! The generator gets separate CPUs, and its limit is measured first, against a bare echo server. A
//! figure near that limit is a lower bound for the lane, and is tainted.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use reports::analysis::{HEADROOM, LEAST_HEADROOM};
use reports::schema::{Failure, FailureKind, Sample, Taint};
use serde::Deserialize;
use workloads::catalogue::{Shape, Size, Workload};
use workloads::protocol::Parameters;

use super::observer::Observer;
use super::plan::cell_name;
use super::setup::Setup;
use crate::cpus::Cpus;
use crate::environment;
use crate::lane_process::LaneCommand;

/// The generator computes this limit from its CPU time, which other programs change little.
const OWN_LIMIT: &str = "load_limit_per_s";
const TRIES: usize = 5;
/// About a fifth of a second for a generator on one CPU.
const REQUESTS: u64 = 40_000;
/// The variables by which a lane finds the generator and its settings.
const PROGRAM: &str = "THREADBARE_LOAD";
const CPUS: &str = "THREADBARE_LOAD_CPUS";
const LIMIT: &str = "THREADBARE_LOAD_LIMIT";

/// The generator's CPUs and its limits. Without separate CPUs no limit is known.
#[derive(Debug, Default)]
pub(super) struct Load {
    split: Option<Split>,
    limits: BTreeMap<Connections, f64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Split {
    server: Cpus,
    generator: Cpus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Connections {
    count: u64,
    payload_bytes: u64,
    burst: u64,
}

impl Connections {
    fn of(parameters: &Parameters) -> Self {
        let get = |name, other| parameters.get(name).copied().unwrap_or(other);
        Self {
            count: get("connections_count", 1),
            payload_bytes: get("payload_bytes", 1),
            burst: get("burst_count", 1),
        }
    }
}

impl Load {
    /// Measures the generator's limit at each case that needs one. Blocks the thread for about a
    /// second for each case.
    pub(super) fn measure(setup: &Setup, observer: &mut dyn Observer) -> Self {
        let mut load = Self::default();
        if !setup.workloads.iter().any(|one| is_loaded(one)) {
            return load;
        }
        let echoes = setup.workloads.iter().filter(|one| is_echo(one));
        let cases: BTreeSet<Connections> = echoes
            .flat_map(|workload| setup.cases(workload))
            .map(|case| Connections::of(&case))
            .collect();
        let Some(split) = Split::of(&setup.cpus) else {
            observer.note(
                "the load generator shares the one CPU with the server: give the run two (--cpus)",
            );
            return load;
        };
        load.split = Some(split.clone());
        let program = program(setup);
        // The smallest sizes give no figures, so they need no limit.
        let Some(program) = program.filter(|_| setup.size != Size::Tiny) else {
            return load;
        };
        for case in cases {
            observer.preparing("measuring what the load generator can do");
            match limit(&program, &split, case, setup.limits.sample) {
                Ok(limit) => {
                    observer.note(&format!(
                        "the load generator can do {limit:.0} requests/s over {} connections{} on CPUs {}; servers get CPUs {}",
                        case.count,
                        match case.burst {
                            1 => String::new(),
                            burst => format!(" in bursts of {burst}"),
                        },
                        split.generator,
                        split.server,
                    ));
                    load.limits.insert(case, limit);
                }
                Err(why) => observer.note(&format!(
                    "what the load generator can do over {} connections is unknown: {why}",
                    case.count
                )),
            }
        }
        load
    }

    pub(super) fn command(
        &self,
        command: &LaneCommand,
        cpus: &Cpus,
        workload: &Workload,
        parameters: &Parameters,
    ) -> (LaneCommand, Cpus) {
        let mut command = command.clone();
        let Some(split) = self.split.as_ref().filter(|_| is_loaded(workload)) else {
            return (command, cpus.clone());
        };
        let mut set = |name: &str, value: String| {
            command.variables.push((name.into(), value.into()));
        };
        set(CPUS, split.generator.to_string());
        let limit = self.limits.get(&Connections::of(parameters));
        if let Some(limit) = limit.filter(|_| is_echo(workload)) {
            set(LIMIT, limit.to_string());
        }
        (command, split.server.clone())
    }

    pub(super) fn refusal(
        &self,
        workload: &Workload,
        lane: &str,
        parameters: &Parameters,
    ) -> Option<Failure> {
        let offered = parameters.get("offered_per_s").copied().unwrap_or(0);
        let limit = *self.limits.get(&Connections::of(parameters))?;
        let exceeds_limit = is_echo(workload) && offered as f64 * LEAST_HEADROOM > limit;
        exceeds_limit.then(|| Failure {
            workload: workload.id.to_owned(),
            lane: lane.to_owned(),
            parameters: parameters.clone(),
            kind: FailureKind::Limit,
            message: format!(
                "not asked: the load generator can do {limit:.0} requests/s on this host"
            ),
            ..Failure::default()
        })
    }
}

/// The taint of a figure that the generator may have limited.
pub(super) fn headroom_taint(
    workload: &str,
    lane: &str,
    parameters: &Parameters,
    samples: &[Sample],
    block: u64,
) -> Option<Taint> {
    let headrooms = samples.iter().filter_map(|one| one.metrics.get(HEADROOM));
    let least = headrooms.copied().min_by(f64::total_cmp)?;
    (least < LEAST_HEADROOM).then(|| Taint {
        kind: "load_generator".to_owned(),
        message: format!(
            "{}: the load generator can do {least:.2} times what the lane answered, so the lane may do better than the figure; give the run more CPUs (--cpus)",
            cell_name(workload, lane, parameters)
        ),
        value: Some(least),
        bound: Some(LEAST_HEADROOM),
        block_index: Some(block),
        ..Taint::default()
    })
}

fn is_loaded(workload: &Workload) -> bool {
    is_echo(workload) || matches!(workload.shape, Shape::Service)
}

/// Whether the limit measured with a bare echo server applies.
fn is_echo(workload: &Workload) -> bool {
    matches!(workload.shape, Shape::TcpEcho | Shape::Handler(_))
}

fn program(setup: &Setup) -> Option<PathBuf> {
    let commands = setup
        .lanes
        .iter()
        .filter_map(|lane| lane.command.as_ref().ok());
    let mut variables = commands.flat_map(|command| &command.variables);
    variables
        .find(|(name, _)| name == PROGRAM)
        .map(|(_, path)| path.into())
}

impl Split {
    /// The generator gets at least three fifths of the CPUs (one of two), to be faster than the
    /// server. At most one physical core has CPUs of both. `None` for one CPU.
    fn of(cpus: &Cpus) -> Option<Self> {
        Self::by(cpus, |cpu| {
            let topology = |name| {
                environment::number::<u64>(format!(
                    "/sys/devices/system/cpu/cpu{cpu}/topology/{name}"
                ))
            };
            (topology("physical_package_id"), topology("core_id"))
        })
    }

    fn by<K: Ord>(cpus: &Cpus, core: impl Fn(usize) -> K) -> Option<Self> {
        let mut numbers = cpus.numbers().to_vec();
        numbers.sort_by_key(|&cpu| (core(cpu), cpu));
        let server = (numbers.len() * 2 / 5).max(1);
        let (server, generator) = numbers.split_at(server);
        Some(Self {
            server: list(server)?,
            generator: list(generator)?,
        })
    }
}

fn list(numbers: &[usize]) -> Option<Cpus> {
    let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    words.join(",").parse().ok()
}

/// The generator's limit, in requests a second.
fn limit(
    program: &Path,
    split: &Split,
    case: Connections,
    timeout: Duration,
) -> Result<f64, String> {
    let tries = (0..TRIES).map(|_| attempt(program, split, case, timeout));
    let mut limits = tries.collect::<Result<Vec<_>, _>>()?;
    limits.sort_by(f64::total_cmp);
    Ok(limits[TRIES / 2])
}

/// Blocks the thread for at most `timeout` for each of the two processes.
fn attempt(
    program: &Path,
    split: &Split,
    case: Connections,
    timeout: Duration,
) -> Result<f64, String> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    let timeout_message = |what: &str| format!("{what} in {} s", timeout.as_secs_f64());
    let mut server = Helper(
        Command::new(program)
            .args(["echo", "--connections", &case.count.to_string()])
            .args(["--cpus", &split.server.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| wrong("starting the echo server", &error))?,
    );
    let mut reported = String::new();
    if let Some(stdout) = server.0.stdout.take() {
        if !is_readable(&stdout, timeout) {
            return Err(timeout_message("the echo server says no address"));
        }
        BufReader::new(stdout)
            .read_line(&mut reported)
            .map_err(|error| wrong("listening to the echo server", &error))?;
    }
    let listening: Listening = serde_json::from_str(&reported)
        .map_err(|error| wrong("the echo server's address", &error))?;
    let numbers = [
        ("--connections", case.count),
        ("--payload-bytes", case.payload_bytes),
        ("--requests", REQUESTS.max(case.count) * case.burst),
        ("--burst", case.burst),
    ];
    let arguments = numbers
        .iter()
        .flat_map(|(name, value)| [OsString::from(name), value.to_string().into()]);
    let mut generator = Helper(
        Command::new(program)
            .args(["load", "--address", &listening.address])
            .args(arguments)
            .env(CPUS, split.generator.to_string())
            .env_remove(LIMIT)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| wrong("starting the load generator", &error))?,
    );
    // Its output fits into the pipes, so it can end before they are read.
    let ended = generator
        .end_by(Instant::now() + timeout)
        .map_err(|error| wrong("waiting for the load generator", &error))?
        .ok_or_else(|| timeout_message("the load generator does not end"))?;
    if !ended.success() {
        return Err(all_of(generator.0.stderr.take()).trim().to_owned());
    }
    let report: Report = serde_json::from_str(&all_of(generator.0.stdout.take()))
        .map_err(|error| wrong("the load generator's report", &error))?;
    let limit = report.metrics.get(OWN_LIMIT).copied();
    limit.ok_or_else(|| format!("the load generator's report has no {OWN_LIMIT}"))
}

const SLICE: Duration = Duration::from_millis(5);

/// A process that is killed when this value is dropped.
struct Helper(Child);

impl Helper {
    /// `None` if it has not ended by `deadline`.
    fn end_by(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        loop {
            let ended = self.0.try_wait()?;
            if ended.is_some() || Instant::now() >= deadline {
                return Ok(ended);
            }
            std::thread::sleep(SLICE);
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // An echo server has usually ended with its last connection.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for bytes or the end of the pipe; false after `timeout`.
fn is_readable(pipe: &impl AsFd, timeout: Duration) -> bool {
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, timeout).is_ok_and(|ready| ready > 0)
}

fn all_of(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // After an error, the bytes read so far are returned.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[derive(Deserialize)]
struct Listening {
    address: String,
}

#[derive(Deserialize)]
struct Report {
    metrics: BTreeMap<String, f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use workloads::catalogue::find;

    fn split(cpus: &str, core: impl Fn(usize) -> usize) -> Option<(String, String)> {
        let split = Split::by(&cpus.parse().unwrap(), core)?;
        Some((split.server.to_string(), split.generator.to_string()))
    }

    fn case(offered: u64) -> Parameters {
        Parameters::from([
            ("connections_count".to_owned(), 64),
            ("payload_bytes".to_owned(), 64),
            ("requests_count".to_owned(), 10),
            ("offered_per_s".to_owned(), offered),
        ])
    }

    fn load() -> Load {
        Load {
            split: Split::by(&"0-1".parse().unwrap(), |cpu| cpu),
            limits: [(Connections::of(&case(0)), 120_000.0)].into(),
        }
    }

    #[test]
    fn the_generator_gets_more_cpus_than_the_server_wherever_there_are_three() {
        assert_eq!(split("3", |cpu| cpu), None);
        let two = split("0-1", |cpu| cpu).unwrap();
        assert_eq!(two, ("0".to_owned(), "1".to_owned()));
        for count in 3..64 {
            let cpus = Split::by(&format!("0-{}", count - 1).parse().unwrap(), |cpu| cpu);
            let cpus = cpus.unwrap();
            assert!(cpus.generator.count() > cpus.server.count());
            assert_eq!(cpus.generator.count() + cpus.server.count(), count);
        }
    }

    #[test]
    fn siblings_of_a_core_stay_together() {
        let siblings = split("0-9", |cpu| cpu % 5).unwrap();
        assert_eq!(siblings, ("0-1,5-6".to_owned(), "2-4,7-9".to_owned()));
    }

    #[test]
    fn a_lane_that_is_loaded_gets_the_limit_and_another_does_not() {
        let all: Cpus = "0-1".parse().unwrap();
        let started =
            |id: &str| load().command(&LaneCommand::default(), &all, find(id).unwrap(), &case(0));
        let (command, cpus) = started("io.tcp_echo");
        assert_eq!(cpus.to_string(), "0");
        let variable_names: Vec<_> = command.variables.iter().map(|(name, _)| name).collect();
        assert_eq!(variable_names, [CPUS, LIMIT]);
        assert_eq!(started("io.fanout"), (LaneCommand::default(), all));
    }

    #[test]
    fn a_rate_near_the_generators_limit_is_not_measured_and_says_so() {
        let echo = find("io.tcp_echo").unwrap();
        let refusal = |offered| load().refusal(echo, "thread", &case(offered));
        assert_eq!(refusal(0), None);
        assert_eq!(refusal(100_000), None);
        let refused = refusal(100_001).unwrap();
        assert!(refused.message.contains("120000"), "{}", refused.message);
    }

    #[test]
    fn a_figure_without_headroom_is_tainted_and_one_with_headroom_is_not() {
        let tainted = |headroom| {
            let sample = Sample {
                metrics: [(HEADROOM.to_owned(), headroom)].into(),
                ..Sample::default()
            };
            headroom_taint("io.tcp_echo", "thread", &case(0), &[sample], 3)
        };
        assert_eq!(tainted(1.2), None);
        let taint = tainted(1.1).unwrap();
        assert!(taint.message.contains("io.tcp_echo on thread"), "{taint:?}");
        assert_eq!(headroom_taint("x", "y", &case(0), &[], 0), None);
    }

    #[test]
    fn generator_or_server_that_hangs_is_ended_and_named() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("load.sh");
        let split = Split::by(&"0-1".parse().unwrap(), |cpu| cpu).unwrap();
        let reported = |script: &str| {
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
            let timeout = Duration::from_secs(1);
            attempt(&program, &split, Connections::of(&case(0)), timeout)
        };
        let hangs = "kill -STOP $$";
        let listens = r#"echo '{"address":"127.0.0.1:1"}'"#;
        let report = format!(r#"echo '{{"metrics":{{"{OWN_LIMIT}":7}}}}'"#);
        let by_turn = |load: &str| format!("case $1 in echo) {listens};; *) {load};; esac");
        let error = reported(hangs).unwrap_err();
        assert!(
            error.contains("echo server says no address in 1 s"),
            "{error}"
        );
        let error = reported(&by_turn(hangs)).unwrap_err();
        assert!(
            error.contains("load generator does not end in 1 s"),
            "{error}"
        );
        assert_eq!(
            reported(&by_turn("echo no route >&2; exit 1")),
            Err("no route".into())
        );
        assert_eq!(reported(&by_turn(&report)), Ok(7.0));
    }
}
