//! Runs a lane program as a child: pins it to CPUs, speaks the protocol under time limits, and
//! reports why it failed.
//!
//! # Invariants
//!
//! 1. The child leads a process group. So a Ctrl-C in the terminal reaches only the study, and one
//!    kill ends the lane's processes. Those that left the group are found by a variable in their
//!    environment (`strays`).
//! 2. The group is killed before the child is reaped. Until then no other process can get the
//!    child's process id, which is also the group's.
//! 3. At most one request is in progress. It fits into a pipe's buffer, so writing it never blocks.
//!
//! The parent-death signal follows the *thread* that started the child, so that thread must live as
//! long as the lane.
//!
//! # Rejected
//!
//! Threads that read the pipes would run on the lane's CPUs. One `poll` over both pipes needs no
//! thread.

mod answer;
mod counters;
mod failure;
mod last_words;
mod setup;
mod strays;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use workloads::ledger::Readings;
use workloads::protocol::{Hello, MAX_LINE_BYTES, PROTOCOL_VERSION, Parameters, Request, Response};

pub use answer::Answer;
pub(crate) use counters::rung as counters_rung;
pub use failure::{Cause, LaneFailure};

use counters::Counters;
use last_words::LastWords;
use setup::Step;
use strays::Mark;

use crate::cpus::Cpus;

/// How often a wait checks for a Ctrl-C and for the child's end. The end of the pipes does not show
/// the child's end: its own children may keep them open.
const SLICE: Duration = Duration::from_millis(100);
const EXIT_LIMIT: Duration = Duration::from_secs(2);
/// The most readings of the memory in a sample, by the protocol.
const MOST_READINGS: usize = 2;
const EXCERPT: usize = 120;

/// Variables that set a lane's number of threads. They are removed, so that the number depends only
/// on the CPUs to which the lane is pinned.
const REMOVED_VARIABLES: [&str; 5] = [
    "GOMAXPROCS",
    "TOKIO_WORKER_THREADS",
    "RAYON_NUM_THREADS",
    "UV_THREADPOOL_SIZE",
    "PYTHON_CPU_COUNT",
];

/// In `/proc/PID/task/TID/sched`: the number of moves between CPUs.
const MIGRATIONS: &str = "se.nr_migrations";

/// How to start a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables added to the environment.
    pub variables: Vec<(OsString, OsString)>,
}

/// How long a lane may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From its start to its hello.
    pub hello: Duration,
    /// From a request to its answer.
    pub sample: Duration,
}

impl Limits {
    /// The same limit for the hello and for each sample.
    #[must_use]
    pub fn all(limit: Duration) -> Self {
        Self {
            hello: limit,
            sample: limit,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        // Enough for the start of a JVM on a loaded host.
        Self::all(Duration::from_secs(30))
    }
}

/// The user's request to stop, shared with the thread that gets the signal.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    asked: AtomicBool,
    group: AtomicI32,
}

impl Stop {
    /// Requests the stop. All waits with a copy of this value end soon.
    pub fn ask(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was requested.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// Kills the running lane's process group. Call it before this process exits without running
    /// destructors.
    pub fn kill_lane(&self) {
        let group = Pid::from_raw(self.0.group.swap(0, Ordering::Relaxed));
        if group.as_raw() > 0 && killpg(group, Signal::SIGKILL).is_err() {
            let _ = kill(group, Signal::SIGKILL);
        }
    }
}

/// A running lane.
#[derive(Debug)]
pub struct LaneProcess {
    child: Child,
    group: Pid,
    stdout: ChildStdout,
    stderr: Option<ChildStderr>,
    unread: Vec<u8>,
    last_words: LastWords,
    hello: Hello,
    limits: Limits,
    stop: Stop,
    next_id: u64,
    oom_kills_before: u64,
    counters: Option<Counters>,
    mark: Mark,
    refused: Vec<Step>,
    /// Whether processes that leave the group become children of this process.
    adopts: bool,
    reaped: Option<WaitStatus>,
    ended: bool,
}

/// When a wait for the lane ends.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    /// The whole time that the lane gets, for the message.
    limit: Duration,
}

impl Deadline {
    fn after(limit: Duration) -> Self {
        Self {
            at: Instant::now() + limit,
            limit,
        }
    }
}

enum Line {
    Text(Vec<u8>),
    TooLong,
    EndOfFile,
    Dead,
    TimedOut,
    Interrupted,
}

impl LaneProcess {
    /// Starts `command` pinned to `cpus`, and waits for its hello. Blocks the thread for at most
    /// `limits.hello`.
    ///
    /// # Errors
    ///
    /// [`LaneFailure`] if the lane cannot be started or does not say hello.
    pub fn start(
        command: &LaneCommand,
        cpus: &Cpus,
        limits: Limits,
        stop: &Stop,
    ) -> Result<Self, LaneFailure> {
        let adopts = strays::adopt();
        let mark = Mark::new();
        let mut start = Command::new(&command.program);
        start
            .args(&command.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for variable in REMOVED_VARIABLES {
            start.env_remove(variable);
        }
        // A backtrace would leave no room in `last_words` for the message.
        start.env("RUST_BACKTRACE", "0");
        start.envs(command.variables.iter().map(|(name, value)| (name, value)));
        start.envs([mark.variable()]);
        let refusals = setup::prepare(&mut start, cpus.to_kernel());
        let oom_kills_before = oom_kills();
        let mut child = start.spawn().map_err(|error| LaneFailure {
            cause: Cause::of_start(&command.program, &error),
            asked: "to start",
            last_words: String::new(),
        })?;
        let group = Pid::from_raw(child.id().cast_signed());
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            unreachable!(
                "both pipes were asked for above, and a spawned child has what was asked for"
            )
        };
        let mut lane = Self {
            child,
            group,
            stdout,
            stderr: Some(stderr),
            unread: Vec::new(),
            last_words: LastWords::default(),
            hello: Hello {
                protocol: PROTOCOL_VERSION,
                lane: String::new(),
                language: String::new(),
                runtime: String::new(),
                pid: 0,
                cpus_count: 0,
                unoptimised: false,
                commit: String::new(),
                workloads: BTreeMap::new(),
            },
            limits,
            stop: stop.clone(),
            next_id: 1,
            oom_kills_before,
            counters: None,
            mark,
            refused: refusals.read(),
            adopts,
            reaped: None,
            ended: false,
        };
        stop.0.group.store(group.as_raw(), Ordering::Relaxed);
        lane.prefer_as_oom_victim();
        lane.make_pipes_non_blocking()
            .map_err(|errno| lane.failure(Cause::Pipe(errno.to_string()), "to say hello"))?;
        lane.hello = lane.wait_for_hello()?;
        Ok(lane)
    }

    /// The lane's hello.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The steps of the start that the kernel refused, as text. The lane runs without them.
    #[must_use]
    pub fn refused(&self) -> Vec<&'static str> {
        const ADOPT: &str = "prctl(PR_SET_CHILD_SUBREAPER): what a lane leaves in a session of its own is not found";
        let adopt = (!self.adopts).then_some(ADOPT);
        let steps = self.refused.iter().map(|step| step.refused());
        steps.chain(adopt).collect()
    }

    /// Requests one sample and waits for it; takes readings of memory when the lane requests them,
    /// at most two. Blocks the thread for at most the sample limit and the time of the readings.
    ///
    /// # Errors
    ///
    /// [`LaneFailure`] if the lane died, hung or violated the protocol. The lane is dead then.
    pub fn run(
        &mut self,
        workload: &str,
        parameters: &Parameters,
        iterations: u64,
    ) -> Result<Answer, LaneFailure> {
        const ASKED: &str = "for a sample";
        let id = self.next_id;
        self.next_id += 1;
        let request = Request::Run {
            id,
            workload: workload.to_owned(),
            parameters: parameters.clone(),
            iterations,
        };
        let began = Instant::now();
        self.send(&request)
            .map_err(|error| self.broken_pipe(&error, ASKED))?;
        let mut readings = Readings::default();
        let mut deadline = Deadline::after(self.limits.sample);
        let (line, response) = loop {
            let line = self.wait_for_line(deadline, ASKED)?;
            let response = self.read_response(&line, ASKED)?;
            if response != Response::ReadMemory {
                break (line, response);
            }
            if readings.count() == MOST_READINGS {
                return Err(self.garbage("a third reading of the memory", &line, ASKED));
            }
            let asked = Instant::now();
            readings
                .take(self.child.id())
                .map_err(|error| self.failure(Cause::NoReading(error.to_string()), ASKED))?;
            // The lane waits meanwhile.
            deadline.at += asked.elapsed();
            self.send(&Request::MemoryRead)
                .map_err(|error| self.broken_pipe(&error, ASKED))?;
        };
        let took = began.elapsed();
        match response {
            Response::Sample(mut sample) if sample.id == id => {
                sample.memory =
                    readings.change(parameters.get("tasks_count").copied().unwrap_or(0));
                match answer::impossible(&sample, took) {
                    Some(why) => Err(self.garbage(&why, &line, ASKED)),
                    None => Ok(Answer::Sample(Box::new(sample))),
                }
            }
            Response::Error {
                id: answered,
                kind,
                message,
            } if answered == id => Ok(Answer::Refused { kind, message }),
            Response::Hello(_) => Err(self.garbage("a second hello", &line, ASKED)),
            _ => Err(self.garbage("the id of another request", &line, ASKED)),
        }
    }

    /// Starts to count events, also of threads and children that start after the first call.
    /// Counters make context switches slower, so a process that is timed has none.
    pub(crate) fn count(&mut self) {
        let pid = self.group.as_raw();
        let counters = &mut self.counters;
        counters
            .get_or_insert_with(|| Counters::of_process(pid))
            .begin();
    }

    /// The counts since [`count`](Self::count), without events that the kernel does not count for
    /// this user.
    pub(crate) fn take_counts(&mut self) -> BTreeMap<String, u64> {
        let counters = self.counters.as_mut();
        counters.map_or_else(BTreeMap::new, Counters::end)
    }

    /// How often the kernel has moved the child's present threads to another CPU; `None` if it does
    /// not count that.
    #[must_use]
    pub fn migrations(&self) -> Option<u64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let of_thread = |text: String| -> Option<u64> {
            let line = text.lines().find(|line| line.starts_with(MIGRATIONS))?;
            line.rsplit(':').next()?.trim().parse().ok()
        };
        let counts: Vec<u64> = tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("sched")).ok())
            .filter_map(of_thread)
            .collect();
        (!counts.is_empty()).then(|| counts.iter().sum())
    }

    /// Requests the lane's end and waits for its exit. Kills a lane that does not exit.
    ///
    /// # Errors
    ///
    /// [`LaneFailure`] if it had to be killed, or ended with another status than 0.
    pub fn quit(mut self) -> Result<(), LaneFailure> {
        const ASKED: &str = "to finish";
        // The wait below finds a lane that is dead already.
        let _ = self.send(&Request::Quit);
        drop(self.child.stdin.take());
        let deadline = Instant::now() + EXIT_LIMIT;
        let status = loop {
            match self.status() {
                Some(status) => break status,
                None if Instant::now() >= deadline => {
                    return Err(self.failure(Cause::TimedOut(EXIT_LIMIT), ASKED));
                }
                None => {
                    // The pipes are read, so that writing does not block the lane.
                    self.drain(Duration::from_millis(2));
                }
            }
        };
        match status {
            WaitStatus::Exited(_, 0) => {
                self.end();
                Ok(())
            }
            status => {
                let cause = self.cause_of_death(status);
                Err(self.failure(cause, ASKED))
            }
        }
    }

    fn wait_for_hello(&mut self) -> Result<Hello, LaneFailure> {
        const ASKED: &str = "to say hello";
        let line = self.wait_for_line(Deadline::after(self.limits.hello), ASKED)?;
        match self.read_response(&line, ASKED)? {
            Response::Hello(hello) if hello.protocol == PROTOCOL_VERSION => Ok(hello),
            Response::Hello(hello) => {
                Err(self.failure(Cause::WrongProtocol(hello.protocol), ASKED))
            }
            _ => Err(self.garbage("the first line must be a hello", &line, ASKED)),
        }
    }

    fn send(&mut self, request: &Request) -> io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let stdin = self.child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(&line)
    }

    fn read_response(&mut self, line: &[u8], asked: &'static str) -> Result<Response, LaneFailure> {
        serde_json::from_slice(line).map_err(|error| self.garbage(&error.to_string(), line, asked))
    }

    /// The next line without its newline. If there is no such line, the lane is killed.
    fn wait_for_line(
        &mut self,
        deadline: Deadline,
        asked: &'static str,
    ) -> Result<Vec<u8>, LaneFailure> {
        match self.next_line(deadline.at) {
            Ok(Line::Text(line)) => Ok(line),
            Ok(Line::TooLong) => {
                let line = std::mem::take(&mut self.unread);
                let why = format!("a line of more than {MAX_LINE_BYTES} bytes");
                Err(self.garbage(&why, &line, asked))
            }
            Ok(Line::TimedOut) => Err(self.failure(Cause::TimedOut(deadline.limit), asked)),
            Ok(Line::Interrupted) => Err(self.failure(Cause::Interrupted, asked)),
            Ok(Line::EndOfFile | Line::Dead) => Err(self.died(asked)),
            Err(errno) => Err(self.failure(Cause::Pipe(errno.to_string()), asked)),
        }
    }

    fn next_line(&mut self, deadline: Instant) -> nix::Result<Line> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.unread[searched..]
                .iter()
                .position(|&byte| byte == b'\n')
            {
                let rest = self.unread.split_off(searched + at + 1);
                let mut line = std::mem::replace(&mut self.unread, rest);
                line.pop();
                return Ok(Line::Text(line));
            }
            searched = self.unread.len();
            if searched > MAX_LINE_BYTES {
                return Ok(Line::TooLong);
            }
            if self.stop.asked() {
                return Ok(Line::Interrupted);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Line::TimedOut);
            }
            let [stdout_ready, stderr_ready] = self.wait_readable(left.min(SLICE))?;
            if stderr_ready {
                self.read_stderr();
            }
            if stdout_ready {
                let mut bytes = [0; 16 * 1024];
                match self.stdout.read(&mut bytes) {
                    Ok(0) => return Ok(Line::EndOfFile),
                    Ok(count) => self.unread.extend_from_slice(&bytes[..count]),
                    Err(error) if is_transient(&error) => {}
                    Err(_) => return Ok(Line::EndOfFile),
                }
            } else if self.status().is_some() {
                // The child may have written a line before it ended.
                return if self.wait_readable(Duration::ZERO)?[0] {
                    continue;
                } else {
                    Ok(Line::Dead)
                };
            }
        }
    }

    fn wait_readable(&self, limit: Duration) -> nix::Result<[bool; 2]> {
        // The limit is rounded up, because waits of 0 ms would spin.
        let millis = u16::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let mut fds = vec![PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN)];
        if let Some(stderr) = &self.stderr {
            fds.push(PollFd::new(stderr.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok([false; 2]),
            Err(errno) => return Err(errno),
        }
        let ready = |fd: Option<&PollFd<'_>>| fd.is_some_and(|fd| fd.any().unwrap_or(true));
        Ok([ready(fds.first()), ready(fds.get(1))])
    }

    fn read_stderr(&mut self) {
        let Some(stderr) = &mut self.stderr else {
            return;
        };
        let mut bytes = [0; 16 * 1024];
        match stderr.read(&mut bytes) {
            // A pipe at end of file is always readable: polling it would spin.
            Ok(0) => self.stderr = None,
            Ok(count) => self.last_words.push(&bytes[..count]),
            Err(error) if is_transient(&error) => {}
            Err(_) => self.stderr = None,
        }
    }

    /// Discards stdout and keeps stderr, for at most `limit`.
    fn drain(&mut self, limit: Duration) {
        let Ok([stdout_ready, stderr_ready]) = self.wait_readable(limit) else {
            return;
        };
        if stderr_ready {
            self.read_stderr();
        }
        if stdout_ready {
            let mut bytes = [0; 16 * 1024];
            if matches!(self.stdout.read(&mut bytes), Ok(0)) {
                std::thread::sleep(limit);
            }
        }
    }

    /// The child's status; `None` while it runs. Reaps the child only if `waitid` is refused.
    fn status(&mut self) -> Option<WaitStatus> {
        if self.reaped.is_some() {
            return self.reaped;
        }
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.group), flags) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => None,
            Ok(status) => Some(status),
            // A sandbox may refuse `waitid`. The child is then reaped here; while a process of the
            // group is left, no other group gets its id.
            Err(_) => {
                self.reaped = waitpid(self.group, Some(WaitPidFlag::WNOHANG))
                    .ok()
                    .filter(|status| *status != WaitStatus::StillAlive);
                self.reaped.inspect(|_| {
                    let _ = killpg(self.group, Signal::SIGKILL);
                })
            }
        }
    }

    fn died(&mut self, asked: &'static str) -> LaneFailure {
        let deadline = Instant::now() + EXIT_LIMIT;
        let status = loop {
            match self.status() {
                Some(status) => break Some(status),
                None if Instant::now() >= deadline => break None,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let cause = status.map_or(Cause::ClosedOutput, |status| self.cause_of_death(status));
        self.failure(cause, asked)
    }

    fn cause_of_death(&self, status: WaitStatus) -> Cause {
        match status {
            WaitStatus::Exited(_, status) => Cause::Exited(status),
            WaitStatus::Signaled(_, signal, _) => Cause::Killed {
                signal: signal.as_str().to_owned(),
                out_of_memory: signal == Signal::SIGKILL && oom_kills() > self.oom_kills_before,
            },
            _ => Cause::ClosedOutput,
        }
    }

    fn broken_pipe(&mut self, error: &io::Error, asked: &'static str) -> LaneFailure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            self.died(asked)
        } else {
            self.failure(Cause::Pipe(error.to_string()), asked)
        }
    }

    fn garbage(&mut self, why: &str, line: &[u8], asked: &'static str) -> LaneFailure {
        let line = String::from_utf8_lossy(line)
            .chars()
            .take(EXCERPT)
            .collect();
        self.failure(
            Cause::Garbage {
                why: why.to_owned(),
                line,
            },
            asked,
        )
    }

    fn failure(&mut self, cause: Cause, asked: &'static str) -> LaneFailure {
        self.end();
        for _ in 0..64 {
            let Some(stderr) = &self.stderr else { break };
            let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::ZERO) {
                Ok(1..) => self.read_stderr(),
                _ => break,
            }
        }
        LaneFailure {
            cause,
            asked,
            last_words: self.last_words.text(),
        }
    }

    /// Kills the group, reaps its leader, and ends processes that have left the group.
    fn end(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.stop.0.group.store(0, Ordering::Relaxed);
        if self.reaped.is_none() {
            // The group is killed before the child is reaped: invariant 2. If the child could not
            // make a group, only the child is killed.
            if killpg(self.group, Signal::SIGKILL).is_err() {
                let _ = kill(self.group, Signal::SIGKILL);
            }
            self.reaped = loop {
                match waitpid(self.group, None) {
                    Err(Errno::EINTR) => {}
                    ended => break ended.ok(),
                }
            };
        }
        // This program is the subreaper, so it is the parent of the killed processes, and must reap
        // them.
        while matches!(
            waitpid(Pid::from_raw(-self.group.as_raw()), None),
            Ok(_) | Err(Errno::EINTR)
        ) {}
        self.mark.end_strays();
    }

    /// When memory runs out, the kernel kills the lane before the study. Raising the score of a
    /// process of the same user needs no privilege. On an error the study runs without it.
    fn prefer_as_oom_victim(&self) {
        let _ = std::fs::write(format!("/proc/{}/oom_score_adj", self.child.id()), "1000");
    }

    fn make_pipes_non_blocking(&self) -> nix::Result<()> {
        let set = |fd: std::os::fd::BorrowedFd<'_>| -> nix::Result<()> {
            let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
            fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
        };
        set(self.stdout.as_fd())?;
        self.stderr
            .as_ref()
            .map_or(Ok(()), |stderr| set(stderr.as_fd()))
    }
}

impl Drop for LaneProcess {
    fn drop(&mut self) {
        self.end();
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn oom_kills() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
    text.lines().find_map(count).unwrap_or(0)
}
