//! Joins the shards of one run.
//!
//! # Invariants
//!
//! 1. Merging is idempotent: a shard that is given twice, or beside a merged file that contains it,
//!    changes nothing.
//! 2. No two shards share a block. Each shard numbers its blocks from 0, so block b of shard i of n
//!    becomes block b·n + i − 1. The blocks of a merged file are renumbered already.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::run::{Place, Run};
use crate::schema::{End, Group, Merged, Shard};

/// Why runs are not shards of one run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// No run was given.
    #[error("there is nothing to merge: give the run.jsonl of each shard")]
    Nothing,
    /// The runs differ in a field that shards share.
    #[error(
        "the files are not shards of one run: {what} differs ({left} and {right}). Merge only shards that `--shard` made with one seed; compare other runs with `threadbare compare`"
    )]
    Differ {
        /// The differing field.
        what: &'static str,
        /// Its value in the first run.
        left: String,
        /// Its value in another run.
        right: String,
    },
    /// A run is not a shard.
    #[error(
        "the run {0} was not made with --shard: give shards, or a file that `threadbare merge` wrote"
    )]
    NoShard(String),
    /// One process and block has different samples in two files.
    #[error(
        "two files hold different samples of {workload} on {lane} (process {process_index}, block {block_index}): the same shard was measured twice. Give only one of the two files"
    )]
    Conflict {
        /// The workload's id.
        workload: String,
        /// The lane's name.
        lane: String,
        /// Which process.
        process_index: u64,
        /// Which block.
        block_index: u64,
    },
}

/// Merges shards, in any order. If shards are missing, the run is not complete, and a warning names
/// them.
///
/// # Errors
///
/// [`MergeError`] if the runs are not shards of one run.
pub fn merge(mut shards: Vec<Run>) -> Result<Run, MergeError> {
    let mut parts: BTreeSet<u32> = BTreeSet::new();
    let mut count = 0;
    for run in &mut shards {
        let held = renumber_blocks(run)?;
        parts.extend(&held.indices);
        count = count.max(held.count);
    }
    shards.sort_by_key(|run| {
        run.header
            .design
            .merged
            .as_ref()
            .map(|held| held.indices.clone())
    });
    let mut shards = shards.into_iter();
    let mut merged = shards.next().ok_or(MergeError::Nothing)?;
    let mut places: BTreeMap<Place, Group> = BTreeMap::new();
    let mut groups = std::mem::take(&mut merged.groups);
    let mut all_ended = merged.end.is_some();
    for run in shards {
        check_same("the run id", &merged.header.run_id, &run.header.run_id)?;
        check_same("the seed", &merged.header.seed, &run.header.seed)?;
        let keys = [&merged, &run].map(|run| run.header.host.machine.key());
        check_same("the machine", &keys[0], &keys[1])?;
        all_ended &= run.end.is_some();
        groups.extend(run.groups);
        for lane in run.header.lanes {
            if merged
                .header
                .lanes
                .iter()
                .all(|known| known.name != lane.name)
            {
                merged.header.lanes.push(lane);
            }
        }
        for workload in run.header.workloads {
            if merged
                .header
                .workloads
                .iter()
                .all(|known| known.id != workload.id)
            {
                merged.header.workloads.push(workload);
            }
        }
        merged.counters.extend(run.counters);
        merged.failures.extend(run.failures);
        merged.environment.extend(run.environment);
        merged.taints.extend(run.taints);
        merged.cross_checks.extend(run.cross_checks);
        merged.blocks.extend(run.blocks);
        merged.unknown.extend(run.unknown);
        merged.end = merged_end(merged.end.take(), run.end);
    }
    for group in groups {
        let place = Place::of(&group);
        if let Some(known) = places.get(&place) {
            if known.samples != group.samples {
                return Err(MergeError::Conflict {
                    workload: group.workload,
                    lane: group.lane,
                    process_index: group.process_index,
                    block_index: group.block_index,
                });
            }
        } else {
            places.insert(place, group);
        }
    }
    merged.groups = places.into_values().collect();
    merged.groups.sort_by_key(|group| group.order_index);
    remove_duplicates(&mut merged.counters);
    remove_duplicates(&mut merged.failures);
    remove_duplicates(&mut merged.environment);
    remove_duplicates(&mut merged.taints);
    remove_duplicates(&mut merged.cross_checks);
    remove_duplicates(&mut merged.unknown);
    remove_duplicates(&mut merged.blocks);
    merged.blocks.sort_by_key(|block| block.block_index);
    merged.warnings.clear();
    finish_merged(&mut merged, parts, count, all_ended);
    Ok(merged)
}

/// Renumbers the blocks of a shard, and returns the shards in `run`.
fn renumber_blocks(run: &mut Run) -> Result<Merged, MergeError> {
    let design = &mut run.header.design;
    if let Some(merged) = &design.merged {
        return Ok(merged.clone());
    }
    let Some(Shard { index, count }) = design.shard.take() else {
        return Err(MergeError::NoShard(run.header.run_id.clone()));
    };
    let held = Merged {
        indices: vec![index],
        count,
    };
    design.merged = Some(held.clone());
    // A file may contain any value, so the arithmetic saturates.
    let (index, count) = (u64::from(index), u64::from(count));
    let renumber = |block: &mut u64| {
        *block = block
            .saturating_mul(count)
            .saturating_add(index.saturating_sub(1));
    };
    let groups = run.groups.iter_mut().map(|group| &mut group.block_index);
    let failures = run.failures.iter_mut().map(|one| &mut one.block_index);
    let taints = run.taints.iter_mut().map(|taint| &mut taint.block_index);
    let blocks = run.blocks.iter_mut().map(|block| &mut block.block_index);
    groups
        .chain(failures)
        .chain(taints.flatten())
        .chain(blocks)
        .for_each(renumber);
    Ok(held)
}

fn finish_merged(merged: &mut Run, parts: BTreeSet<u32>, count: u32, all_ended: bool) {
    // A file may contain any count, so at most `MOST_NAMED` missing shards are named.
    const MOST_NAMED: usize = 100;
    let missing: Vec<String> = (1..=count)
        .filter(|index| !parts.contains(index))
        .take(MOST_NAMED)
        .map(|index| index.to_string())
        .collect();
    if !missing.is_empty() {
        merged
            .warnings
            .push(format!("shards {} are missing", missing.join(", ")));
    }
    merged.header.design.merged = Some(Merged {
        indices: parts.into_iter().collect(),
        count,
    });
    merged.end = merged.end.take().filter(|_| all_ended).map(|end| End {
        groups_count: merged.groups.len() as u64,
        samples_count: merged.samples_count() as u64,
        failures_count: merged.failures.len() as u64,
        // With a shard that has no counts, the sum is unknown.
        records_count: match end.records_count.is_empty() {
            true => BTreeMap::new(),
            false => merged.records_count(),
        },
        ..end
    });
}

fn merged_end(left: Option<End>, right: Option<End>) -> Option<End> {
    match (left, right) {
        (Some(left), Some(right)) => {
            let interrupted = left.interrupted || right.interrupted;
            let elapsed_ns = left.elapsed_ns.max(right.elapsed_ns);
            let is_counted = [&left, &right].map(|end| !end.records_count.is_empty());
            let last = if left.finished >= right.finished {
                left
            } else {
                right
            };
            Some(End {
                interrupted,
                elapsed_ns,
                records_count: match is_counted {
                    [true, true] => last.records_count,
                    _ => BTreeMap::new(),
                },
                ..last
            })
        }
        (left, right) => left.or(right),
    }
}

fn check_same<T: PartialEq + std::fmt::Display>(
    what: &'static str,
    left: &T,
    right: &T,
) -> Result<(), MergeError> {
    if left == right {
        return Ok(());
    }
    Err(MergeError::Differ {
        what,
        left: left.to_string(),
        right: right.to_string(),
    })
}

/// Keeps the first of equal records.
fn remove_duplicates<T: Serialize>(records: &mut Vec<T>) {
    let mut seen = BTreeSet::new();
    records.retain(|record| {
        // A record that was read can be written as JSON.
        serde_json::to_string(record).map_or(true, |text| seen.insert(text))
    });
}
