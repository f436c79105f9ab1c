//! Writing and reading a JSON document by the usual library.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Kernel, lehmer};
use crate::catalogue::cpu::{INCLUDES, INCLUDES_WEAK, METRICS, METRICS_WEAK, SOME_WORKERS, WORKERS, all_chunks, chunks};
use crate::catalogue::{PLAIN, Shape, Workload, count, get};

pub(crate) const KERNEL: Kernel = |parameters| {
    let records = get(parameters, "records_count");
    Arc::new(move |index| {
        let document: Vec<Value> = (0..records)
            .map(|j| {
                json!({
                    "id": j,
                    "name": format!("record {j}"),
                    "tags": ["a", "b", "c"],
                    "value": lehmer::after(index * records + j, 1),
                    "on": j % 2 == 0,
                })
            })
            .collect();
        let text =
            serde_json::to_string(&document).expect("a document of plain values can be written");
        let parsed: Vec<Value> =
            serde_json::from_str(&text).expect("what was just written can be read");
        parsed.iter().map(total).sum()
    })
};

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        id: "cpu.json",
        title: "Writing and reading JSON",
        question: "How does work scale that makes many small allocations?",
        activity: "writing and reading JSON",
        shape: Shape::Chunks(KERNEL),
        parameters: &[
            chunks([&[8], &[64], &[64]]),
            WORKERS,
            count(
                "records_count",
                "records in each chunk's document",
                [&[5], &[100], &[500]],
                100_000,
            ),
        ],
        operation: "run",
        metrics: METRICS,
        includes: INCLUDES,
        leaves_out: "A comparison of JSON libraries: every language uses its usual one. The allocator matters as much as the lane.",
        checksum: |p| all_chunks(KERNEL, p),
        ..PLAIN
    },
    Workload {
        id: "cpu.json_weak",
        title: "Writing and reading JSON, more with more workers",
        question: "Does work with many small allocations take as long when work and cores grow alike?",
        activity: "writing and reading JSON, more with more workers",
        shape: Shape::Chunks(KERNEL),
        parameters: &[
            chunks([&[4], &[32], &[32]]),
            SOME_WORKERS,
            count(
                "records_count",
                "records in each chunk's document",
                [&[5], &[100], &[200]],
                100_000,
            ),
        ],
        operation: "run",
        metrics: METRICS_WEAK,
        includes: INCLUDES_WEAK,
        leaves_out: "A comparison of JSON libraries. The allocator matters as much as the lane.",
        checksum: |p| get(p, "workers_count") * all_chunks(KERNEL, p),
        ..PLAIN
    },
];

fn total(record: &Value) -> u64 {
    let number = |name: &str| record[name].as_u64().unwrap_or(0);
    let name = record["name"].as_str().map_or(0, str::len) as u64;
    let tags = record["tags"].as_array().map_or(0, Vec::len) as u64;
    number("id") + number("value") % 1_000 + tags + name + u64::from(record["on"] == true)
}
