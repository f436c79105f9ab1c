//! A run made small enough for the repository, with its published figures unchanged.
//!
//! # What is left out
//!
//! | part of the run | what is kept | what changes |
//! |---|---|---|
//! | samples | all, to the nanosecond | none |
//! | histograms of latency | buckets of at most 1/64 of an octave (up to 1/8 if the file would be too large), and the buckets of the published percentiles | the chart of the latency distribution, by less than a bucket |
//! | moments (`at_ns`) | to the millisecond | none |
//! | readings of the host | six digits | none |
//! | the plan of the blocks | nothing: the groups show the order | `run --resume`, which such a run does not need |
//! | names of the host, node and job, and the home folder in commands and messages | nothing | none |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::columns;
use crate::run::Run;
use crate::schema::{COLUMNS_VERSION, Header, Record};
use crate::stats::histogram::{percentile, total};

/// The most bytes of a kept run, compressed.
pub const MOST_BYTES: usize = 300_000;

/// The finest and the coarsest histograms have `1 << FINEST` and `1 << COARSEST` steps per octave.
const FINEST: u32 = 6;
const COARSEST: u32 = 3;

/// The published percentiles of latency.
const PUBLISHED_PERCENTILES: [f64; 3] = [0.5, 0.99, 0.999];

/// A kept run, as text.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The lines, not compressed.
    pub text: Vec<u8>,
    /// Buckets in an octave of latency.
    pub steps_count: u32,
}

impl Kept {
    /// Versions of the run, from the finest histograms to the coarsest. The caller keeps the first
    /// version that compresses to [`MOST_BYTES`]. `home` is the folder whose name is removed.
    pub fn of<'a>(
        run: &'a Run,
        home: Option<&'a str>,
    ) -> impl DoubleEndedIterator<Item = Self> + 'a {
        let steps = (COARSEST..=FINEST).rev();
        steps.map(move |bits| Self {
            text: text(run, bits, home),
            steps_count: 1 << bits,
        })
    }
}

/// The path below the folder of all machines: `KEY/RUN.jsonl.zst`.
#[must_use]
pub fn kept_path(header: &Header) -> PathBuf {
    let started = header.started.get(..19).unwrap_or(&header.started);
    let name = format!(
        "{}-{}.jsonl.zst",
        path_safe(started),
        path_safe(&header.run_id)
    );
    Path::new(&path_safe(&header.host.machine.key())).join(name)
}

/// `text` as a part of a path: other characters than letters, digits, `-`, `_` and `.` are replaced.
pub(crate) fn path_safe(text: &str) -> String {
    let sign = |sign: char| match sign {
        ':' => '-',
        sign if sign.is_ascii_alphanumeric() || "-_.".contains(sign) => sign,
        _ => '_',
    };
    text.chars().map(sign).collect()
}

fn text(run: &Run, bits: u32, home: Option<&str>) -> Vec<u8> {
    let mut header = run.header.clone();
    header.schema_version = COLUMNS_VERSION;
    let host = std::mem::take(&mut header.host.name);
    header.design.extra.remove("plan");
    if let Some(Value::Object(placed)) = header.environment.get_mut("placed") {
        let node = placed.get("node").and_then(Value::as_str);
        let names = [node.unwrap_or_default().to_owned(), host];
        placed.retain(|name, value| match name.as_str() {
            "node" | "job" => false,
            // In a fleet of single machines, the kind may be a machine's name.
            "kind" => !names.iter().any(|own| value.as_str() == Some(own.as_str())),
            _ => true,
        });
    }
    let mut lines = vec![value(&Record::Header(Box::new(header)))];
    let mut by_kind: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut end = None;
    for record in run.records() {
        match &record {
            Record::Header(_) => continue,
            Record::End(_) => {
                end = Some(value(&record));
                continue;
            }
            _ => {}
        }
        if let Value::Object(mut fields) = value(&smaller(record, bits))
            && let Some(Value::String(kind)) = fields.remove("type")
        {
            by_kind.entry(kind).or_default().push(Value::Object(fields));
        }
    }
    let columns = by_kind.into_iter();
    lines.extend(columns.map(|(kind, records)| columns::line(&kind, records)));
    lines.extend(end);
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.to_string());
        text.push('\n');
    }
    let text = match home.filter(|home| home.len() > 1) {
        Some(home) => without_home(&text, home),
        None => text,
    };
    text.into_bytes()
}

/// `text` with `~` in place of the path `home`. A longer name that begins with `home` stays.
fn without_home(text: &str, home: &str) -> String {
    let mut parts = text.split(home);
    let mut cleared = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_name = |sign: char| sign.is_alphanumeric() || "_-".contains(sign);
        cleared.push_str(match part.starts_with(is_name) {
            true => home,
            false => "~",
        });
        cleared.push_str(part);
    }
    cleared
}

fn value(record: &Record) -> Value {
    serde_json::to_value(record).expect("a record is JSON")
}

fn smaller(mut record: Record, bits: u32) -> Record {
    match &mut record {
        Record::Group(group) => {
            group.at_ns = whole_ms(group.at_ns);
            let latencies = group
                .samples
                .iter_mut()
                .filter_map(|sample| sample.latency.as_mut());
            for latency in latencies {
                latency.buckets = coarser(&latency.buckets, bits);
            }
        }
        Record::Block(block) => block.at_ns = whole_ms(block.at_ns),
        Record::Environment(sample) => {
            sample.at_ns = whole_ms(sample.at_ns);
            for reading in sample.readings.values_mut() {
                if let Some(exact) = reading.as_f64().filter(|_| reading.is_f64()) {
                    let digits: Result<f64, _> = format!("{exact:.5e}").parse();
                    *reading = digits.map_or(Value::Null, Value::from);
                }
            }
        }
        _ => {}
    }
    record
}

fn whole_ms(ns: u64) -> u64 {
    const MS: u64 = 1_000_000;
    ns / MS * MS
}

/// Merges adjacent buckets within a step of `1 / 2^bits` octave into the highest of them. The first
/// bucket and those of the published percentiles end a step, so the lowest latency and these
/// percentiles stay exact.
fn coarser(buckets: &[(u64, u64)], bits: u32) -> Vec<(u64, u64)> {
    let published = PUBLISHED_PERCENTILES
        .iter()
        .filter_map(|&share| percentile(buckets, share));
    let ends: Vec<u64> = published
        .chain(buckets.first().map(|bucket| bucket.0))
        .collect();
    let step = |value: u64| {
        let shift = (u64::BITS - value.leading_zeros()).saturating_sub(bits + 1);
        (shift, value >> shift)
    };
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for &(value, count) in buckets {
        match merged.last_mut() {
            Some(last) if step(last.0) == step(value) && !ends.contains(&last.0) => {
                *last = (value, last.1 + count);
            }
            _ => merged.push((value, count)),
        }
    }
    debug_assert_eq!(total(&merged), total(buckets));
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_within_a_step_become_one() {
        let buckets: Vec<(u64, u64)> = (1000..1064).map(|value| (value, 1)).collect();
        let merged = coarser(&buckets, 3);
        // The first bucket, the end of its step, the median, and the highest bucket, which is also
        // both upper percentiles.
        assert_eq!(merged, [(1000, 1), (1023, 23), (1031, 8), (1063, 32)]);
    }

    proptest! {
        #[test]
        fn no_reported_percentile_changes(
            values in prop::collection::btree_map(1_u64..1 << 40, 1_u64..50, 1..400),
            bits in COARSEST..=FINEST,
        ) {
            let buckets: Vec<(u64, u64)> = values.into_iter().collect();
            let merged = coarser(&buckets, bits);
            for share in PUBLISHED_PERCENTILES.into_iter().chain([0.0, 1.0]) {
                prop_assert_eq!(percentile(&merged, share), percentile(&buckets, share));
            }
            for share in [0.1, 0.25, 0.75, 0.9, 0.95] {
                let exact = percentile(&buckets, share).unwrap() as f64;
                let kept = percentile(&merged, share).unwrap() as f64;
                prop_assert!((1.0..=1.0 + 1.0 / f64::from(1 << bits)).contains(&(kept / exact)));
            }
            prop_assert_eq!(total(&merged), total(&buckets));
        }
    }
}
