//! A lane program that makes one lane slower on purpose, to test that the gate finds it.
//!
//! The number at the end of its file's name is the percentage. So both builds of a run can use it,
//! each with its own percentage:
//!
//! ```sh
//! cargo build --release -p workloads -p benches --bins --example slow_lane
//! cp target/release/examples/slow_lane target/release/slow-by-0
//! cp target/release/examples/slow_lane target/release/slow-by-10
//! SLOW_LANE=threadbare THREADBARE_LANE_PROGRAM=target/release/slow-by-10 \
//!     target/release/threadbare run --base target/release/slow-by-0 \
//!     --lane threadbare,thread,tokio --out results/slow
//! target/release/threadbare gate results/slow
//! ```
//!
//! It executes the real lane program in its own process: `SLOW_PROGRAM`, or the `threadbare-lane`
//! in its own folder. So the study pins, observes and kills the right process. The output of the
//! lane to slow down goes through a filter, which is another process. The filter multiplies the
//! `elapsed_ns` of each sample, and delays the answer by the added time, because the study refuses
//! a time that is longer than it waited. The lane's code is unchanged. The filter sleeps while a
//! sample is taken, because a lane answers only at the sample's end.
//!
//! The filter is not a child of the lane: a lane of processes may wait for any child, and the CPU
//! time of children is counted.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

/// The first argument with which it starts itself as the filter's parent, and as the filter.
const PARENT: &str = "--start-filter";
const FILTER: &str = "--filter";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let own = std::env::current_exe().context("finding this program");
    let done = own.and_then(
        |own| match arguments.first().and_then(|word| word.to_str()) {
            Some(PARENT) => start(&own, FILTER, Stdio::inherit()).map(drop),
            Some(FILTER) => filter(percent(&own)?),
            _ => become_the_lane(&own, &arguments),
        },
    );
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slow_lane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Executes the real lane program. Returns only if that fails.
fn become_the_lane(own: &Path, arguments: &[OsString]) -> anyhow::Result<()> {
    let program = match std::env::var_os("SLOW_PROGRAM") {
        Some(named) => PathBuf::from(named),
        None => own.with_file_name("threadbare-lane"),
    };
    let slow = std::env::var_os("SLOW_LANE").context(
        "SLOW_LANE names no lane: set it to the lane to slow down, such as SLOW_LANE=threadbare",
    )?;
    let mut lane = Command::new(&program);
    lane.args(arguments);
    if arguments.contains(&slow) {
        // Checked here, because an error in the filter would show only as an end of file.
        percent(own)?;
        let (from_lane, to_filter) = io::pipe().context("making a pipe")?;
        let mut parent = start(own, PARENT, from_lane.into())?;
        let status = parent.wait().context("waiting for the filter's start")?;
        if !status.success() {
            bail!("the filter did not start: {status}");
        }
        lane.stdout(to_filter);
    }
    Err(lane.exec()).with_context(|| {
        format!(
            "starting {}: build it with `cargo build --release -p workloads`, or name it in SLOW_PROGRAM",
            program.display()
        )
    })
}

/// Starts this program again, as `role`.
fn start(own: &Path, role: &str, stdin: Stdio) -> anyhow::Result<std::process::Child> {
    let mut command = Command::new(own);
    command.arg(role).stdin(stdin);
    command.spawn().context("starting the filter")
}

/// Passes lines on from stdin to stdout, the times of samples made longer.
fn filter(percent: f64) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let (line, added) = slowed(line.context("reading from the lane")?, percent);
        std::thread::sleep(added);
        let written = writeln!(out, "{line}").and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            written => written.context("writing to the study")?,
        }
    }
    Ok(())
}

/// An answer of the lane, made slower, and the added time. A line that is no sample is not changed.
fn slowed(line: String, percent: f64) -> (String, Duration) {
    let Ok(mut answer) = serde_json::from_str::<Value>(&line) else {
        return (line, Duration::ZERO);
    };
    let elapsed_ns = match answer.get("type").and_then(Value::as_str) {
        Some("sample") => answer.get("elapsed_ns").and_then(Value::as_f64),
        _ => None,
    };
    match elapsed_ns {
        Some(elapsed_ns) => {
            let slow_ns = (elapsed_ns * (1.0 + percent / 100.0)).round();
            answer["elapsed_ns"] = Value::from(slow_ns as u64);
            let added = Duration::from_nanos((slow_ns - elapsed_ns).max(0.0) as u64);
            (answer.to_string(), added)
        }
        None => (line, Duration::ZERO),
    }
}

/// The percentage by which this program slows the lane down: the number at the end of its file's
/// name.
fn percent(own: &Path) -> anyhow::Result<f64> {
    let name = own.file_name().unwrap_or_default().to_string_lossy();
    let number = name.rsplit('-').next().and_then(|end| end.parse().ok());
    number
        .filter(|percent: &f64| percent.is_finite() && *percent > -100.0)
        .with_context(|| {
            format!("copy this program to a name that ends in -by-PERCENT, such as slow-by-10: {name} does not say by how much to slow the lane down")
        })
}
