//! Runs shell commands, a few at a time, each with a time limit. Ctrl-C ends the running commands
//! with all their processes, and no more are started.
//!
//! `cargo run --release --example job_runner -- 'echo one' 'sleep 9' 'exit 3'`

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bench_runtime::context::Context;
use bench_runtime::io::{stderr, stdout};
use bench_runtime::process::{Command, Ended};
use bench_runtime::signal::{self, Signal};
use bench_runtime::sync::Semaphore;
use bench_runtime::{Runtime, go};

/// After the time limit the job has a second to end by itself.
fn run(job: &str, ctx: &Context, limit: Duration) -> Result<String, String> {
    let (ctx, cancel) = ctx.with_timeout(limit);
    // Drops the timer of the context when the child has ended.
    let _cancel = cancel.on_drop();
    let mut command = Command::new("sh");
    command.args(["-c", job]).own_group();
    command
        .context(&ctx)
        .grace(Signal::TERM, Duration::from_secs(1));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(text(&output.stdout)),
        Ok(output) => Err(output.status.to_string()),
        Err(error) => match error.downcast::<Ended>() {
            Ok(ended) => Err(format!("{ended} after {:?}", text(&ended.stdout))),
            Err(error) => Err(error.to_string()),
        },
    }
}

pub(crate) fn run_all(
    jobs: Vec<String>,
    ctx: &Context,
    width: usize,
    limit: Duration,
) -> Vec<Result<String, String>> {
    let slots = Arc::new(Semaphore::new(width));
    let running: Vec<_> = jobs
        .into_iter()
        .map(|job| {
            let (slots, ctx) = (slots.clone(), ctx.clone());
            go(move || {
                let _slot = slots.acquire_with(&ctx, 1).map_err(|e| e.to_string())?;
                run(&job, &ctx, limit)
            })
        })
        .collect();
    let results = running.into_iter().map(|job| job.join());
    results
        .map(|result| result.unwrap_or_else(|error| Err(error.to_string())))
        .collect()
}

fn main() -> io::Result<ExitCode> {
    let jobs: Vec<String> = std::env::args().skip(1).collect();
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    unsafe { Runtime::builder().build() }?.run(move || {
        let signals = signal::notify(&[Signal::INT, Signal::TERM])?;
        let (ctx, cancel) = Context::background().with_cancel();
        let mut status = ExitCode::SUCCESS;
        drop(go(move || {
            if let Some(signal) = signals.recv() {
                cancel.cancel_with(format!("{signal} came"));
            }
        }));
        let results = run_all(jobs.clone(), &ctx, 4, Duration::from_secs(5));
        for (job, result) in jobs.iter().zip(results) {
            match result {
                Ok(text) => writeln!(stdout(), "{job}: {text}")?,
                Err(why) => {
                    status = ExitCode::FAILURE;
                    writeln!(stdout(), "{job} failed: {why}")?;
                }
            }
        }
        if let Some(cause) = ctx.cause() {
            writeln!(stderr(), "ended early: {cause}")?;
        }
        Ok(status)
    })
}
