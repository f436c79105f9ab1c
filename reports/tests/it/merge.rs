//! Merging of shards.

use std::collections::BTreeSet;

use reports::Run;
use reports::gate::gate;
use reports::merge::{MergeError, merge};
use reports::schema::{Counters, Group, Shard, Taint};
use reports::taints::by_kind;

use crate::synthetic::{self, Wish};

/// Shard `index` of 2: every second workload. Each shard numbers its blocks from 0.
fn shard(index: u32) -> Run {
    let mut run = synthetic::run(Wish::default());
    run.header.design.shard = Some(Shard { index, count: 2 });
    let mut workload_number = 0;
    run.header.workloads.retain(|_| {
        workload_number += 1;
        workload_number % 2 == index % 2
    });
    let own: Vec<String> = run
        .header
        .workloads
        .iter()
        .map(|one| one.id.clone())
        .collect();
    run.groups.retain(|group| own.contains(&group.workload));
    run.failures
        .retain(|failure| own.contains(&failure.workload));
    for block in &mut run.blocks {
        block.at_ns += u64::from(index);
    }
    run
}

/// The groups in the order of measurement, with all block numbers set to 0.
fn measured(run: &Run) -> Vec<Group> {
    let mut groups: Vec<Group> = run
        .groups
        .iter()
        .map(|group| Group {
            block_index: 0,
            ..group.clone()
        })
        .collect();
    groups.sort_by_key(|group| group.order_index);
    groups
}

#[test]
fn shards_in_any_order_give_the_whole_run() {
    let whole = synthetic::run(Wish::default());
    for order in [[1, 2], [2, 1]] {
        let merged = merge(order.map(shard).to_vec()).expect("shards of one run");
        assert_eq!(measured(&merged), measured(&whole));
        assert_eq!(merged.failures.len(), whole.failures.len());
        assert_eq!(merged.header.workloads.len(), whole.header.workloads.len());
        let parts = merged.header.design.merged.clone().expect("its parts");
        assert_eq!((parts.indices, parts.count), (vec![1, 2], 2));
        assert_eq!(merged.header.design.shard, None);
        let end = merged.end.as_ref().expect("an end");
        assert_eq!(end.records_count, merged.records_count());
        assert!(
            merged.is_complete() && merged.warnings.is_empty(),
            "{:?}",
            merged.warnings
        );
    }
}

#[test]
fn blocks_of_two_shards_are_different_blocks() {
    let disturbed = |index| {
        let mut run = shard(index);
        // In each shard, three of the five blocks are disturbed.
        run.taints = (0..3)
            .map(|block| Taint {
                kind: "others".to_owned(),
                value: Some(0.6),
                bound: Some(0.05),
                block_index: Some(block),
                ..Taint::default()
            })
            .collect();
        run
    };
    let parts = [1, 2].map(disturbed);
    let count: usize = parts.iter().map(|run| run.blocks.len()).sum();
    let merged = merge(parts.to_vec()).expect("shards of one run");
    let indices: BTreeSet<u64> = merged
        .blocks
        .iter()
        .map(|block| block.block_index)
        .collect();
    assert_eq!((merged.blocks.len(), indices.len()), (count, count));
    assert_eq!(by_kind(&merged)[0].blocks_count, 6);
    let known = |group: &Group| indices.contains(&group.block_index);
    assert!(merged.groups.iter().all(known));
    let reasons = gate(&merged, &merged).reasons;
    let found = reasons.iter().any(|reason| reason.contains("disturbed"));
    assert!(found, "{reasons:?}");
}

#[test]
fn three_shards_merged_in_two_steps_equal_one_merge() {
    let third = |index| {
        let mut run = shard(1 + index % 2);
        run.header.design.shard = Some(Shard { index, count: 3 });
        if index == 3 {
            run.groups.clear();
        }
        run
    };
    let two = merge(vec![third(3), third(2)]).expect("two of three");
    assert!(
        two.warnings[0].contains("shards 1 are missing"),
        "{:?}",
        two.warnings
    );
    let all = merge(vec![third(1), two]).expect("the third");
    assert!(all.warnings.is_empty(), "{:?}", all.warnings);
    assert_eq!(all, merge([1, 2, 3].map(third).to_vec()).expect("at once"));
}

#[test]
fn run_that_is_not_a_shard_is_refused() {
    let error = merge(vec![shard(1), synthetic::run(Wish::default())]).expect_err("refused");
    assert!(matches!(error, MergeError::NoShard(_)), "{error}");
}

#[test]
fn counters_of_a_repeated_shard_are_kept_once() {
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
    let mut other = synthetic::run(Wish {
        seed: 8,
        ..Wish::default()
    });
    other.header.design.shard = Some(Shard { index: 2, count: 2 });
    let error = merge(vec![shard(1), other]).expect_err("refused");
    assert!(matches!(error, MergeError::Differ { .. }), "{error}");
    assert!(error.to_string().contains("threadbare compare"));
}

#[test]
fn different_copies_of_one_shard_are_a_conflict() {
    let mut again = shard(1);
    again.groups[0].samples[0].elapsed_ns += 1;
    let error = merge(vec![shard(1), again]).expect_err("refused");
    assert!(matches!(error, MergeError::Conflict { .. }), "{error}");
}

#[test]
fn merge_of_no_runs_is_an_error_that_names_the_file_to_give() {
    assert!(
        merge(Vec::new())
            .expect_err("nothing")
            .to_string()
            .contains("run.jsonl")
    );
}
