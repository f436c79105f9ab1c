//! The lane program's side of the protocol: one request, one answer.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde_json::Value;

use crate::catalogue;
use crate::host::{affinity, open_files};
use crate::lane::{Entry, Failure, Lane, Order, Outcome};
use crate::protocol::{
    ErrorKind, Hello, MAX_LINE_BYTES, PROTOCOL_VERSION, Request, Response, Sample,
};

const MOST_ITERATIONS: u64 = 1_000_000_000;

/// Says hello, then answers requests until the request to quit or the end of the input. Blocks the
/// thread.
///
/// # Errors
///
/// If the lane cannot be started, or the study has closed its pipe.
pub fn serve(
    entry: &Entry,
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> anyhow::Result<()> {
    // Workloads need thousands of sockets and pipes. If the host refuses, a sample that needs them
    // reports it.
    let _ = open_files::raise_limit();
    let cpus = affinity::allowed().len();
    let mut lane = (entry.start)(cpus)?;
    say(output, &Response::Hello(hello(entry, cpus)))?;
    loop {
        let response = match next_line(input)? {
            Line::End => return Ok(()),
            Line::TooLong => refuse(0, format!("the line is longer than {MAX_LINE_BYTES} bytes")),
            Line::Text(text) => match serde_json::from_str(&text) {
                Ok(Request::Quit) => return Ok(()),
                Ok(Request::MemoryRead) => refuse(0, "no reading was asked for".to_owned()),
                Ok(Request::Run {
                    id,
                    workload,
                    parameters,
                    iterations,
                }) => {
                    let order = order(entry, workload, parameters, iterations, cpus);
                    answer(id, order.and_then(|order| take(lane.as_mut(), &order)))
                }
                Err(error) => {
                    let id = serde_json::from_str::<Value>(&text)
                        .ok()
                        .and_then(|value| value["id"].as_u64());
                    refuse(
                        id.unwrap_or(0),
                        format!("this is no request of the protocol: {error}"),
                    )
                }
            },
        };
        say(output, &response)?;
    }
}

fn hello(entry: &Entry, cpus: usize) -> Hello {
    let workloads = catalogue::all().map(|workload| {
        (
            workload.id.to_owned(),
            (entry.refuses)(workload).map(str::to_owned),
        )
    });
    Hello {
        protocol: PROTOCOL_VERSION,
        lane: entry.name.to_owned(),
        language: format!("rust {}", env!("THREADBARE_RUSTC")),
        runtime: (entry.runtime)(),
        pid: std::process::id(),
        cpus_count: cpus as u32,
        unoptimised: matches!(env!("THREADBARE_OPT_LEVEL"), "0" | "1"),
        commit: env!("THREADBARE_GIT_COMMIT").to_owned(),
        workloads: workloads.collect(),
    }
}

fn order(
    entry: &Entry,
    id: String,
    parameters: BTreeMap<String, u64>,
    iterations: u64,
    cpus: usize,
) -> Result<Order, Failure> {
    let bad = |message| Failure {
        kind: ErrorKind::BadRequest,
        message,
    };
    let Some(workload) = catalogue::find(&id) else {
        let known: Vec<_> = catalogue::all().map(|workload| workload.id).collect();
        return Err(bad(format!(
            "unknown workload {id}; this lane knows {}",
            known.join(", ")
        )));
    };
    workload.check(&parameters).map_err(bad)?;
    if !(1..=MOST_ITERATIONS).contains(&iterations) {
        return Err(bad(format!(
            "{iterations} iterations; it must be 1 to {MOST_ITERATIONS}"
        )));
    }
    if workload.is_one_experiment() && iterations != 1 {
        return Err(bad(format!("{id} is one experiment: iterations must be 1")));
    }
    match (entry.refuses)(workload) {
        Some(why) => Err(Failure::not_supported(why)),
        None => Ok(Order {
            workload,
            parameters,
            iterations,
            cpus,
        }),
    }
}

fn take(lane: &mut dyn Lane, order: &Order) -> Result<(u64, Outcome), Failure> {
    // `AssertUnwindSafe`: a panic may leave tasks, but no state that a later sample uses.
    let outcome = catch_unwind(AssertUnwindSafe(|| lane.run(order)))
        .unwrap_or_else(|payload| Err(Failure::from_panic(payload)))?;
    let usual = || (order.workload.operations)(&order.parameters) * order.iterations;
    Ok((outcome.operations.unwrap_or_else(usual), outcome))
}

fn answer(id: u64, result: Result<(u64, Outcome), Failure>) -> Response {
    match result {
        Ok((
            operations_count,
            Outcome {
                measured,
                operations: _,
                checksum,
                latency,
                metrics,
            },
        )) => Response::Sample(Sample {
            id,
            elapsed_ns: measured.elapsed.as_nanos() as u64,
            operations_count,
            checksum,
            cpu_ns: measured.usage.cpu_ns,
            voluntary_switches_count: measured.usage.voluntary_switches,
            involuntary_switches_count: measured.usage.involuntary_switches,
            memory: None,
            latency,
            metrics,
        }),
        Err(Failure { kind, message }) => Response::Error { id, kind, message },
    }
}

fn refuse(id: u64, message: String) -> Response {
    Response::Error {
        id,
        kind: ErrorKind::BadRequest,
        message,
    }
}

fn say(output: &mut impl Write, response: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

enum Line {
    Text(String),
    TooLong,
    End,
}

/// Reads no more of a line than the protocol allows.
fn next_line(input: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    input
        .by_ref()
        .take(MAX_LINE_BYTES as u64 + 1)
        .read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(Line::End);
    }
    if line.len() > MAX_LINE_BYTES {
        if !line.ends_with(b"\n") {
            input.skip_until(b'\n')?;
        }
        return Ok(Line::TooLong);
    }
    Ok(Line::Text(String::from_utf8_lossy(&line).into_owned()))
}
