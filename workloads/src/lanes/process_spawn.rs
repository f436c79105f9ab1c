//! Processes that execute a program, by `posix_spawn`, which does not copy the parent's page
//! tables.
//!
//! The program is the lane program. It writes a number to a pipe. The figures include loading the
//! program and starting its runtime.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::catalogue::{Shape, Workload};
use crate::host::clock::now_ns;
use crate::host::resident::Resident;
use crate::lane::{Entry, Failure, Lane, Order, Outcome, Program};
use crate::measure::{Latencies, Meter};

const LIMITS: &str = "ulimit -u, pids.max of the cgroup and kernel.pid_max";
/// A pipe's default capacity in numbers: with more children at once, one could block.
const MOST_TASKS: u64 = 64 * 1024 / 8;

pub(super) const EXECUTE: Entry = Entry {
    name: "process-spawn",
    noun: "spawned process",
    title: "Processes that execute a program, by posix_spawn",
    program: Program::Plain,
    kernel_tasks: true,
    runtime: || format!("posix_spawn on Linux {}", super::kernel_version()),
    refuses,
    start: |_| {
        let program = std::env::current_exe().map_err(|error| {
            Failure::failed(format!("finding this program's own path: {error}"))
        })?;
        Ok(Box::new(Spawner { program }))
    },
};

fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::ForkJoin | Shape::FirstInstruction | Shape::ForkResident => None,
        _ => Some(
            "a program that is executed anew shares nothing with its parent; this lane measures its start alone",
        ),
    }
}

struct Spawner {
    program: PathBuf,
}

impl Lane for Spawner {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        match order.workload.shape {
            Shape::ForkJoin => self.fork_join(order),
            Shape::FirstInstruction => self.first_instruction(order, None),
            Shape::ForkResident => {
                let resident = Resident::new(order.get("resident_bytes"), order.get("huge") == 1);
                let resident = resident.map_err(|error| {
                    Failure::host(
                        "mapping the parent's memory",
                        &error,
                        "free memory and ulimit -v",
                    )
                })?;
                self.first_instruction(order, Some(resident))
            }
            _ => Err(Failure::not_supported(
                refuses(order.workload).unwrap_or_default(),
            )),
        }
    }
}

impl Spawner {
    fn fork_join(&self, order: &Order) -> Result<Outcome, Failure> {
        let tasks = order.parameters.get("tasks_count").copied().unwrap_or(1);
        if tasks > MOST_TASKS {
            return Err(Failure::not_supported(format!(
                "at most {MOST_TASKS} children at once, whose numbers the pipe holds"
            )));
        }
        let mut numbers = Numbers::new()?;
        let mut meter = Meter::begin(true);
        let mut checksum = 0;
        meter.time(|| {
            for _ in 0..order.iterations {
                let mut children = Vec::with_capacity(tasks as usize);
                let mut result = Ok(());
                for index in 0..tasks {
                    match self.spawn(&numbers, Some(index + 1)) {
                        Ok(child) => children.push(child),
                        Err(failure) => {
                            result = Err(failure);
                            break;
                        }
                    }
                }
                for child in children {
                    let joined = numbers.join(child);
                    match (joined, &result) {
                        (Ok(number), _) => checksum += number,
                        (Err(failure), Ok(())) => result = Err(failure),
                        (Err(_), Err(_)) => {}
                    }
                }
                result?;
            }
            Ok(())
        })?;
        Ok(Outcome::new(meter.finish(), checksum))
    }

    /// For `spawn.fork_rss` the parent holds memory (`resident`). The child writes the clock's
    /// value.
    fn first_instruction(
        &self,
        order: &Order,
        resident: Option<Resident>,
    ) -> Result<Outcome, Failure> {
        let (mut returns, mut firsts, mut finishes) =
            (Latencies::new(), Latencies::new(), Latencies::new());
        let mut numbers = Numbers::new()?;
        let mut meter = Meter::begin(true);
        let mut checksum = 0;
        meter.time(|| -> Result<(), Failure> {
            for _ in 0..order.iterations {
                let called = now_ns();
                let child = self.spawn(&numbers, None)?;
                let returned = now_ns();
                let ran = numbers.join(child)?;
                let finished = now_ns();
                returns.record(returned - called);
                firsts.record(ran.saturating_sub(called));
                finishes.record(finished.saturating_sub(ran));
                checksum += u64::from((called..=finished).contains(&ran));
            }
            Ok(())
        })?;
        let outcome =
            Outcome::new(meter.finish(), checksum).with("first_instruction_ns", firsts.median_ns());
        if resident.is_some() {
            return Ok(outcome
                .with("fork_return_ns", returns.median_ns())
                .with("exit_wait_ns", finishes.median_ns()));
        }
        let mut outcome = outcome
            .with("spawn_return_ns", returns.median_ns())
            .with("finish_ns", finishes.median_ns());
        outcome.latency = Some(firsts.report(None, outcome.per_second(order.iterations)));
        Ok(outcome)
    }

    /// If `number` is `None`, the child writes the clock's value.
    fn spawn(&self, numbers: &Numbers, number: Option<u64>) -> Result<Child, Failure> {
        let output = numbers
            .write
            .try_clone()
            .map_err(|error| Failure::host("copying a pipe's end", &error, "ulimit -n"))?;
        let mut command = Command::new(&self.program);
        command
            .arg("answer")
            .args(number.map(|number| number.to_string()))
            .stdin(Stdio::null())
            .stdout(output);
        command
            .spawn()
            .map_err(|error| Failure::host("executing a program", &error, LIMITS))
    }
}

/// The pipe of all children. The parent holds both ends open.
struct Numbers {
    read: File,
    write: OwnedFd,
}

impl Numbers {
    fn new() -> Result<Self, Failure> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC)
            .map_err(|errno| Failure::host("making a pipe", &errno.into(), "ulimit -n"))?;
        Ok(Self {
            read: read.into(),
            write,
        })
    }

    /// Returns the number of this child, or of another child that has ended.
    fn join(&mut self, mut child: Child) -> Result<u64, Failure> {
        let status = child
            .wait()
            .map_err(|error| Failure::failed(format!("waiting for a child: {error}")))?;
        if !status.success() {
            return Err(Failure::failed(format!("a child ended with {status}")));
        }
        let mut bytes = [0; 8];
        self.read
            .read_exact(&mut bytes)
            .map_err(|error| Failure::failed(format!("reading a child's number: {error}")))?;
        Ok(u64::from_le_bytes(bytes))
    }
}
