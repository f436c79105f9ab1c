//! Writing and reading a JSON document by the usual library.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Kernel, lehmer};
use crate::catalogue::get;

/// Writes, reads and sums a document of its own for each chunk.
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

fn total(record: &Value) -> u64 {
    let number = |name: &str| record[name].as_u64().unwrap_or(0);
    let name = record["name"].as_str().map_or(0, str::len) as u64;
    let tags = record["tags"].as_array().map_or(0, Vec::len) as u64;
    number("id") + number("value") % 1_000 + tags + name + u64::from(record["on"] == true)
}
