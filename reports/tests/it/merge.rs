//! Shards put together again.

use reports::Run;
use reports::merge::{MergeError, merge};
use reports::schema::{Counters, Shard};

use crate::synthetic::{self, Wish};

fn shard(index: u32) -> Run {
    let mut run = synthetic::run(Wish::default());
    run.header.design.shard = Some(Shard { index, count: 2 });
    run.groups
        .retain(|group| (group.block_index % 2) as u32 == index - 1);
    run
}

#[test]
fn shards_in_any_order_give_the_whole_run() {
    let whole = synthetic::run(Wish::default());
    for order in [[1, 2], [2, 1]] {
        let merged = merge(order.map(shard).to_vec()).expect("shards of one run");
        assert_eq!(merged.groups, whole.groups);
        assert_eq!(merged.failures, whole.failures);
        assert_eq!(merged.header.design.shard, None);
        assert!(
            merged.is_complete() && merged.warnings.is_empty(),
            "{:?}",
            merged.warnings
        );
    }
}

#[test]
fn what_was_counted_in_every_shard_is_kept_once() {
    let counted = |index, workload: &str| {
        let mut run = shard(index);
        run.counters.push(Counters {
            workload: workload.to_owned(),
            lane: "thread".to_owned(),
            operations_count: 4,
            events: [("page_faults".to_owned(), 6)].into(),
            ..Counters::default()
        });
        run
    };
    let (one, two) = (counted(1, "spawn.one"), counted(2, "switch.yield"));
    let merged = merge(vec![one.clone(), two, one]).expect("shards");
    let workloads: Vec<&str> = merged
        .counters
        .iter()
        .map(|one| one.workload.as_str())
        .collect();
    assert_eq!(workloads, ["spawn.one", "switch.yield"]);
}

#[test]
fn merging_again_changes_nothing() {
    let once = merge(vec![shard(1), shard(2)]).expect("shards");
    assert_eq!(
        merge(vec![once.clone(), shard(2), once.clone(), shard(1)]).expect("shards"),
        once
    );
}

#[test]
fn missing_shard_is_named_and_the_run_is_not_complete() {
    let merged = merge(vec![shard(2), shard(2)]).expect("one shard");
    assert!(
        merged.warnings[0].contains("shards 1 are missing"),
        "{:?}",
        merged.warnings
    );
    assert!(!merged.is_complete());
}

#[test]
fn runs_with_other_seeds_are_refused() {
    let other = synthetic::run(Wish {
        seed: 8,
        ..Wish::default()
    });
    let error = merge(vec![shard(1), other]).expect_err("refused");
    assert!(matches!(error, MergeError::Differ { .. }), "{error}");
    assert!(error.to_string().contains("threadbare compare"));
}

#[test]
fn same_place_measured_twice_is_a_conflict() {
    let mut again = shard(1);
    again.groups[0].samples[0].elapsed_ns += 1;
    let error = merge(vec![shard(1), again]).expect_err("refused");
    assert!(matches!(error, MergeError::Conflict { .. }), "{error}");
}

#[test]
fn nothing_to_merge_says_what_to_give() {
    assert!(
        merge(Vec::new())
            .expect_err("nothing")
            .to_string()
            .contains("run.jsonl")
    );
}
