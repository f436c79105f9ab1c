//! Tests of the report "all goroutines are asleep", which must not come if something outside could
//! still end a wait.
//!
//! Each scenario is a separate process. libtest would add a thread outside the runtime, and no
//! deadlock would be reported, so this binary is its own harness.

mod alarms;
mod no_alarms;
#[path = "../start/mod.rs"]
mod start;

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

const SCENARIO: &str = "BENCH_RUNTIME_DEADLOCK_SCENARIO";

/// A child that takes longer counts as hanging.
const TIMEOUT: Duration = Duration::from_secs(240);

enum End {
    Ends,
    /// The report has these lines, one for each goroutine; `*` stands for any text.
    Deadlock(&'static [&'static str]),
    ManyDeadlocked(usize),
}

struct Scenario {
    name: &'static str,
    end: End,
    body: fn(),
}

fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    alarms::ALARMS.iter().chain(no_alarms::NO_ALARMS)
}

fn main() {
    if let Ok(name) = std::env::var(SCENARIO) {
        return match scenarios().find(|scenario| scenario.name == name) {
            Some(scenario) => (scenario.body)(),
            None => panic!("no scenario is called {name}"),
        };
    }
    let traced = Trial::test(
        "deadlock_leaves_its_trace_where_asked",
        deadlock_leaves_its_trace_where_asked,
    );
    let trials = scenarios()
        .map(|scenario| Trial::test(scenario.name, || run(scenario)))
        .chain([traced])
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn run(scenario: &Scenario) -> Result<(), Failed> {
    let mut child = Command::new(std::env::current_exe()?)
        .env(SCENARIO, scenario.name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut from = child.stderr.take().ok_or("no pipe")?;
    let reader = std::thread::spawn(move || {
        let mut stderr = String::new();
        from.read_to_string(&mut stderr).map(|_| stderr)
    });
    let since = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if since.elapsed() > TIMEOUT {
            child.kill()?;
            child.wait()?;
            return Err(format!("still running after {TIMEOUT:?}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let stderr = reader.join().map_err(|_| "the reader panicked")??;
    let is_as_expected = match scenario.end {
        End::Ends => status.success(),
        End::Deadlock(lines) => reported(status, &stderr).is_some_and(|of_goroutines| {
            of_goroutines.len() == lines.len()
                && of_goroutines
                    .iter()
                    .zip(lines)
                    .all(|(line, expected)| matches(line, expected))
        }),
        End::ManyDeadlocked(count) => {
            reported(status, &stderr).is_some_and(|of_goroutines| of_goroutines.len() == count)
        }
    };
    match is_as_expected {
        true => Ok(()),
        false => Err(format!("{status}, and on stderr:\n{stderr}").into()),
    }
}

fn deadlock_leaves_its_trace_where_asked() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("trace.json");
    let output = Command::new(std::env::current_exe()?)
        .env(
            SCENARIO,
            "every_goroutine_is_named_with_its_wait_and_its_site",
        )
        .env("THREADBARE_TRACE", "switches")
        .env("THREADBARE_TRACE_FILE", &file)
        .output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let Some(lines) = reported(output.status, &stderr) else {
        return Err(format!("{}, and on stderr:\n{stderr}", output.status).into());
    };
    if lines.last() != Some(&format!("trace: see {}", file.display()).as_str()) {
        return Err(format!("it does not say where:\n{stderr}").into());
    }
    let trace: serde_json::Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let events = trace["traceEvents"].as_array().ok_or("no events")?;
    let parks = |event: &&serde_json::Value| event["args"]["until"] == "chan receive";
    match events.iter().any(|event| parks(&event)) {
        true => Ok(()),
        false => Err(format!("nobody waits:\n{trace:#}").into()),
    }
}

/// The lines of a report: one for each goroutine, and `trace: see FILE` if there is a trace.
fn reported(status: ExitStatus, stderr: &str) -> Option<Vec<&str>> {
    let rest = stderr.strip_prefix("fatal error: all goroutines are asleep - deadlock!\n\n")?;
    (status.code() == Some(2)).then(|| rest.lines().take_while(|line| !line.is_empty()).collect())
}

/// In `pattern`, `*` stands for any text.
fn matches(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let last = parts.pop();
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}
