//! Our runtime against its peers, and how costs grow.

use reports::Analysis;
use reports::analysis::{Growth, Peers};
use reports::html;
use reports::stats::Verdict;

use crate::synthetic::{self, Wish};

fn peers_run(wish: Wish) -> reports::Run {
    let mut run = synthetic::run(wish);
    run.header.design.preset = Some("peers".to_owned());
    run
}

fn peers(run: &reports::Run) -> Peers {
    Peers::of(run, &Analysis::of(run)).expect("a table")
}

#[test]
fn run_without_the_preset_peers_has_no_peer_table() {
    let run = synthetic::run(Wish::default());
    assert!(Peers::of(&run, &Analysis::of(&run)).is_none());
    assert!(!html::render(&run).contains("Compared with its peers"));
}

#[test]
fn ratio_is_to_the_best_peer_and_the_winner_is_the_best_of_all() {
    let run = peers_run(Wish::default());
    let peers = peers(&run);
    let of = |workload: &str| {
        let mut rows = peers.rows.iter().filter(|row| row.workload == workload);
        rows.next().expect("a row")
    };
    // rayon wins here.
    let one = of("spawn.one");
    assert_eq!(one.best_peer.as_deref(), Some("rayon"));
    assert_eq!(one.winners, ["rayon"]);
    let ours = one.ours.first().expect("ours");
    assert!((ours.ratio.value - 302.0 / 71.0).abs() < 0.3, "{ours:?}");
    assert_eq!(ours.verdict, Verdict::Slower);
    // Our runtime wins here.
    let pingpong = of("switch.pingpong");
    assert_eq!(pingpong.winners, ["threadbare"]);
    assert_eq!(pingpong.best_peer.as_deref(), Some("go"));
    assert_eq!(
        pingpong.ours.first().map(|ours| ours.verdict),
        Some(Verdict::Faster)
    );
    let best = |row: &reports::analysis::PeerRow| {
        let cell = row
            .cells
            .iter()
            .find(|(cell, _)| Some(&cell.lane) == row.best_peer.as_ref());
        cell.map(|(_, ratio)| ratio.is_none())
    };
    assert!(peers.rows.iter().all(|row| best(row) == Some(true)));
}

#[test]
fn lanes_indistinguishable_from_the_best_share_its_rank() {
    let mut run = peers_run(Wish::default());
    run.groups
        .retain(|group| ["threadbare", "go"].contains(&group.lane.as_str()));
    run.groups.retain(|group| group.workload == "spawn.one");
    for group in run.groups.iter_mut().filter(|group| group.lane == "go") {
        for sample in &mut group.samples {
            sample.elapsed_ns = sample.elapsed_ns * 302 / 314;
        }
    }
    let peers = peers(&run);
    let mut winners = peers.rows[0].winners.clone();
    winners.sort();
    assert_eq!(winners, ["go", "threadbare"]);
}

#[test]
fn each_mode_of_ours_has_a_ratio_and_a_verdict_of_its_own() {
    let mut run = peers_run(Wish::default());
    let mut lane = run.header.lanes[0].clone();
    lane.name = "threadbare-migrating".to_owned();
    run.header.lanes.insert(1, lane);
    let mut slower: Vec<_> = run.groups.clone();
    slower.retain(|group| group.lane == "threadbare" && group.workload == "switch.pingpong");
    for group in &mut slower {
        group.lane = "threadbare-migrating".to_owned();
        for sample in &mut group.samples {
            sample.elapsed_ns *= 40;
        }
    }
    run.groups.extend(slower);
    let peers = peers(&run);
    let mut rows = peers.rows.iter();
    let row = rows.find(|row| row.workload == "switch.pingpong").unwrap();
    let verdicts: Vec<_> = row
        .ours
        .iter()
        .map(|ours| (ours.lane.as_str(), ours.verdict))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("threadbare", Verdict::Faster),
            ("threadbare-migrating", Verdict::Slower)
        ]
    );
    let page = html::render(&run);
    assert!(page.contains("<small>threadbare-migrating ÷ go</small>"));
}

#[test]
fn stack_switcher_without_a_scheduler_wins_nothing() {
    let mut run = peers_run(Wish::default());
    for group in &mut run.groups {
        if group.lane == "rayon" {
            group.lane = "corosensei".to_owned();
        }
    }
    for lane in &mut run.header.lanes {
        if lane.name == "rayon" {
            lane.name = "corosensei".to_owned();
        }
    }
    let peers = peers(&run);
    let one = &peers.rows[0];
    assert_eq!(one.workload, "spawn.one");
    assert!(one.cells.iter().any(|(cell, _)| cell.lane == "corosensei"));
    assert_eq!(one.winners, ["tokio"]);
    assert!(html::render(&run).contains("is not ranked"));
}

fn growth(of: impl Fn(f64) -> f64) -> Growth {
    let mut run = synthetic::run(Wish::default());
    run.groups.retain(|group| {
        group.workload == "spawn.batch" && group.lane == "threadbare" && !group.control
    });
    for group in &mut run.groups {
        let tasks = group.parameters["tasks_count"] as f64;
        for sample in &mut group.samples {
            sample.elapsed_ns = (sample.elapsed_ns as f64 * of(tasks)) as u64;
        }
    }
    let mut found = Analysis::of(&run).growth;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn linear_growth_is_not_flagged() {
    let growth = growth(|_| 1.0);
    assert!(!growth.is_worse_than_linear(), "{growth:?}");
    assert_eq!(growth.points.len(), 3);
    assert!((0.95..1.1).contains(&growth.exponent.expect("an exponent").value));
}

#[test]
fn growth_by_the_power_of_one_and_a_half_is_flagged() {
    let growth = growth(f64::sqrt);
    assert!(growth.is_worse_than_linear(), "{growth:?}");
    let exponent = growth.exponent.expect("an exponent");
    assert!((1.45..1.6).contains(&exponent.value), "{exponent:?}");
}

#[test]
fn page_draws_growth_and_says_what_is_worse_than_linear() {
    let mut run = synthetic::run(Wish::default());
    for group in &mut run.groups {
        if group.workload == "spawn.batch" && group.lane == "tokio" {
            let tasks = group.parameters["tasks_count"];
            for sample in &mut group.samples {
                sample.elapsed_ns *= tasks;
            }
        }
    }
    let page = html::render(&run);
    assert!(page.contains("<h2>How costs grow</h2>"));
    assert_eq!(
        page.matches("class=\"words bad\">grows faster than the tasks")
            .count(),
        1
    );
}
