//! Workloads of other crates (`threadbare new`).

use std::sync::OnceLock;

use super::io::{CONNECTIONS, LOAD, LOADED, OFFERED, REQUESTS, payload};
use super::{Group, PLAIN, Shape, Size, Workload, cpu, get};

pub(super) const GROUP: Group = Group {
    id: "own",
    title: "Your own code",
    lead: "Kernels and handlers of a crate outside this suite (`run --with`), compiled into every lane in Rust.",
    lists: &[],
};

/// The common fields of other crates' workloads that compute in chunks. A workload adds its texts,
/// shape, parameters and checksum.
pub const COMPUTES: Workload = Workload {
    operation: "run",
    metrics: cpu::METRICS,
    includes: cpu::INCLUDES,
    ..PLAIN
};

/// The common fields of other crates' TCP servers with a [`Handler`](crate::handler::Handler). A
/// workload adds its texts and shape.
pub const SERVES: Workload = Workload {
    parameters: &[CONNECTIONS, payload(16_384), REQUESTS, OFFERED],
    operation: "request",
    metrics: LOADED,
    figures: LOAD,
    includes: "The server's reads and writes over loopback, with its poller or threads, and the handler. Each connection has a task. All lanes have the same load generator, which has its own CPUs: the server gets two fifths of the run's CPUs, or one of two.",
    calibrated: false,
    operations: |p| get(p, "requests_count"),
    checksum: |p| get(p, "requests_count"),
    ..PLAIN
};

static REGISTERED: OnceLock<&'static [Workload]> = OnceLock::new();

/// Adds workloads to the catalogue. To be called once, before any other use of the catalogue.
///
/// # Errors
///
/// A sentence that names the first unfit workload, or says that workloads are registered already.
pub fn register(workloads: &'static [Workload]) -> Result<(), String> {
    for (index, workload) in workloads.iter().enumerate() {
        check(workload)?;
        if workloads[..index]
            .iter()
            .any(|other| other.id == workload.id)
        {
            return Err(format!("{} is there twice", workload.id));
        }
    }
    let registered = REGISTERED.set(workloads);
    registered.map_err(|_| "workloads were registered before".to_owned())
}

/// Whether workloads were registered.
pub fn has_own() -> bool {
    registered().next().is_some()
}

pub(super) fn registered() -> impl Iterator<Item = &'static Workload> {
    REGISTERED.get().copied().unwrap_or_default().iter()
}

fn check(workload: &Workload) -> Result<(), String> {
    let id = workload.id;
    let wrong = |what: &str| Err(format!("the workload `{id}` {what}"));
    let name = id.strip_prefix("own.").unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(is_plain) {
        return wrong("needs an id such as own.my_load, of a-z, 0-9 and _");
    }
    let texts = [workload.title, workload.activity, workload.leaves_out];
    if texts.contains(&"") || !workload.question.ends_with('?') {
        return wrong(
            "needs a title, an activity, what it leaves out, and a question that ends in `?`",
        );
    }
    let needed: &[&str] = match workload.shape {
        Shape::Chunks(_) => &["chunks_count", "workers_count"],
        Shape::Handler(_) => &["connections_count", "payload_bytes", "requests_count"],
        _ => return wrong("needs the shape Chunks, of a kernel, or Handler"),
    };
    if let Some(lacking) = needed.iter().find(|name| !workload.has_parameter(name)) {
        return wrong(&format!("needs the parameter {lacking}"));
    }
    for size in [Size::Tiny, Size::Quick, Size::Full] {
        let cases = workload.cases(size, 1);
        if cases.is_empty() {
            return wrong(&format!("needs values of every parameter at size {size:?}"));
        }
        for case in cases {
            workload.check(&case)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{CHUNKS, WORKERS, all_chunks, count};
    use super::*;
    use crate::handler::Handler;
    use crate::kernels::Kernel;

    const KERNEL: Kernel = |_| std::sync::Arc::new(|index| index);
    const GOOD: Workload = Workload {
        id: "own.good",
        title: "Good",
        question: "Is it good?",
        activity: "being good",
        shape: Shape::Chunks(KERNEL),
        parameters: &[CHUNKS, WORKERS],
        leaves_out: "All that is not.",
        checksum: |p| all_chunks(KERNEL, p),
        ..COMPUTES
    };

    #[test]
    fn page_about_own_code_names_each_lane_in_its_row() {
        const HANDLER: Handler = Handler {
            blocking: |_, _| {},
            stackless: |_, _| Box::pin(async {}),
        };
        const SERVER: Workload = Workload {
            id: "own.server",
            shape: Shape::Handler(HANDLER),
            ..GOOD
        };
        static BOTH: [Workload; 2] = [GOOD, SERVER];
        let page = include_str!("../../../docs/own-code.md");
        for lane in crate::lanes::ALL {
            let name = format!("`{}`", lane.name);
            let row = page
                .lines()
                .find(|line| line.starts_with("| `") && line.contains(&name));
            let is_mimalloc = lane.program != crate::lane::Program::Plain;
            let Some(row) = row else {
                assert!(is_mimalloc, "{name} is in no row");
                continue;
            };
            let cells = row.split('|').skip(2).map(|cell| cell.trim() == "yes");
            let runs = BOTH
                .iter()
                .map(|workload| (lane.refuses)(workload).is_none());
            assert!(!is_mimalloc && cells.take(2).eq(runs), "{row}");
        }
    }

    #[test]
    fn error_of_a_workload_names_its_id() {
        assert_eq!(check(&GOOD), Ok(()));
        let refused = |workload: Workload, what: &str| {
            let said = check(&workload).unwrap_err();
            assert!(said.contains(workload.id) && said.contains(what), "{said}");
        };
        for id in ["good", "own.", "own.Good", "cpu.good", "own.good.better"] {
            refused(Workload { id, ..GOOD }, "an id such as own.my_load");
        }
        let question = "It is good.";
        refused(Workload { question, ..GOOD }, "a question that ends in");
        let leaves_out = "";
        refused(Workload { leaves_out, ..GOOD }, "what it leaves out");
        let shape = Shape::Ring;
        refused(Workload { shape, ..GOOD }, "the shape Chunks");
        let parameters = &[CHUNKS];
        refused(Workload { parameters, ..GOOD }, "workers_count");
        const TOO_LARGE: &[super::super::Parameter] = &[
            CHUNKS,
            WORKERS,
            count("limit_count", "", [&[1], &[1], &[9]], 8),
        ];
        let parameters = TOO_LARGE;
        refused(Workload { parameters, ..GOOD }, "must lie in 1 to 8");
        const NO_TINY_VALUES: &[super::super::Parameter] = &[
            CHUNKS,
            WORKERS,
            count("limit_count", "", [&[], &[1], &[1]], 8),
        ];
        let parameters = NO_TINY_VALUES;
        refused(Workload { parameters, ..GOOD }, "at size Tiny");
    }
}
