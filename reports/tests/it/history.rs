//! One machine over time, from runs of a real machine with an injected step.

use std::path::Path;

use reports::history::{History, histories};
use reports::html::render_history;
use reports::site::Collection;
use serde_json::json;

use crate::derive;

/// Eight runs of one machine. From the fifth run on, the lane tokio takes 1.4 times as long to
/// spawn, and the kernel and the compiler differ.
fn write(folder: &Path) {
    let real = derive::real().remove(0);
    for number in 0..8_u32 {
        let mut run = real.clone();
        derive::keep_workloads(&mut run, &["spawn.one", "cpu.primes"]);
        let header = &mut run.header;
        header.run_id = format!("history{number}");
        header.started = format!("2026-11-{:02}T08:00:00+00:00", 21 + number);
        let is_after = number >= 4;
        let (rustc, kernel) = match is_after {
            true => ("rustc 1.99.0 (x)", "6.19"),
            false => ("rustc 1.98.0 (x)", "6.18"),
        };
        header.environment.insert("rustc".into(), json!(rustc));
        header.environment.insert("kernel".into(), json!(kernel));
        header.host.operating_system = format!("Debian, kernel {kernel}");
        let noise_factor = 1.0 + 0.002 * f64::from(number % 3) + 0.0001 * f64::from(number);
        derive::slow(&mut run, 1.5, |group| {
            let is_slow = is_after && group.lane == "tokio" && group.workload == "spawn.one";
            noise_factor + if is_slow { 0.4 } else { 0.0 }
        });
        derive::save(&run, &folder.join(format!("{number}.jsonl")));
    }
}

fn only<'a>(all: &'a [History<'a>]) -> &'a History<'a> {
    assert_eq!(all.len(), 1);
    &all[0]
}

#[test]
fn injected_step_is_found_where_the_kernel_and_the_compiler_changed() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let collection = Collection::read(folder.path()).unwrap();
    assert!(collection.apart.is_empty(), "{:?}", collection.apart);
    let all = histories(&collection);
    let history = only(&all);
    assert_eq!(history.moments.len(), 8);
    for (place, moment) in history.moments.iter().enumerate() {
        let names: Vec<&str> = moment.changes.iter().map(|change| change.name).collect();
        let expected: &[&str] = if place == 4 { &["system", "Rust"] } else { &[] };
        assert_eq!(names, expected, "run {place}");
    }
    let steps = history.steps();
    assert!(!steps.is_empty());
    for (series, step) in &steps {
        let cell = (series.place.place.workload.as_str(), series.lane);
        assert_eq!(cell, ("spawn.one", "tokio"));
        assert_eq!((step.moment, step.is_better), (4, false));
        assert!((step.ratio - 1.4).abs() < 0.01, "{step:?}");
        assert_eq!(series.levels().len(), 2);
    }
    let page = render_history(&all);
    for text in [
        "system: Debian, kernel 6.18 → Debian, kernel 6.19",
        "▼ 40%",
        "<svg",
    ] {
        assert!(page.contains(text), "{text}");
    }
    for word in ["http://", "https://", " style=\""] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn one_run_is_a_history_without_curves() {
    let folder = tempfile::tempdir().unwrap();
    derive::save(&derive::real()[0], &folder.path().join("run.jsonl"));
    let collection = Collection::read(folder.path()).unwrap();
    let all = histories(&collection);
    assert_eq!(only(&all).moments.len(), 1);
    let page = render_history(&all);
    assert!(page.contains("the first run") && page.contains("too few runs"));
    assert!(!page.contains("<svg"));
}

#[test]
fn few_runs_have_a_history_without_steps() {
    let collection = Collection::read(&crate::schema::runs_of_one_machine()).unwrap();
    let all = histories(&collection);
    let history = only(&all);
    assert_eq!(history.moments.len(), 4);
    assert!(
        history
            .moments
            .windows(2)
            .all(|pair| pair[0].run.started < pair[1].run.started)
    );
    assert!(history.steps().is_empty());
    assert!(history.series.len() > 100, "{}", history.series.len());
}
