//! Labels of goroutines: their owner, their lifetime, and where they are shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bench_runtime::sync::{ErrGroup, WaitGroup};
use bench_runtime::{
    GoBuilder, Runtime, StackPolicy, chan, go, goroutine_profile, goroutines, labels, scope,
    stack_usage, trace, yield_now,
};
use serde_json::Value;

use crate::future::each_runtime;
use crate::pprof;
use crate::start::Start;

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    all.iter().map(pair).collect()
}

fn own_line() -> String {
    let id = bench_runtime::goroutine_id().unwrap();
    let own = goroutines().into_iter().find(|info| info.id == id);
    own.unwrap().to_string()
}

#[test]
fn last_value_of_each_label_counts() {
    each_runtime(|runtime| {
        runtime.run(|| {
            assert!(labels().is_empty());
            assert!(!own_line().contains('{'));
            let labelled = GoBuilder::new().labels([("route", "/a"), ("user", "7")]);
            let labelled = labelled.label("route", "/b").label("part", "").go(labels);
            let seen = labelled.unwrap().join().unwrap();
            assert_eq!(seen, pairs(&[("route", "/b"), ("user", "7"), ("part", "")]));
        });
    });
    assert!(labels().is_empty(), "on a plain thread");
}

#[test]
fn labels_are_not_inherited_but_can_be_passed_on() {
    each_runtime(|runtime| {
        runtime.run(|| {
            let parent = GoBuilder::new().label("request", "1").go(|| {
                assert!(go(labels).join().unwrap().is_empty());
                scope(|s| assert!(s.go(labels).join().unwrap().is_empty()));
                let child = GoBuilder::new().labels(labels()).label("part", "query");
                let child = child.go(labels).unwrap().join().unwrap();
                assert_eq!(child, pairs(&[("request", "1"), ("part", "query")]));
            });
            parent.unwrap().join().unwrap();
        });
    });
}

#[test]
fn name_labels_stack_and_site_are_given_together() {
    each_runtime(|runtime| {
        runtime.run(|| {
            let builder = GoBuilder::new().name("worker").label("shard", "3");
            let worker = builder.stack(StackPolicy::Fixed(64 << 10)).go(|| {
                let before = own_line();
                assert!(
                    before.contains("\"worker\" {shard=3} [running], spawned at"),
                    "{before}"
                );
                stack_usage().unwrap().limit_bytes
            });
            assert_eq!(worker.unwrap().join().unwrap(), 64 << 10);
        });
    });
}

#[test]
fn labels_reach_tasks_of_groups_and_scopes() {
    each_runtime(|runtime| {
        runtime.run(|| {
            let named = |part: &str| GoBuilder::new().name("task").label("part", part);
            let assert_shown = |part: &str| {
                let line = own_line();
                let head = format!("\"task\" {{part={part}}} [running], spawned at ");
                assert!(line.contains(&head) && line.contains("labels.rs"), "{line}");
            };
            let group = WaitGroup::new();
            group
                .go_with(named("a"), move || assert_shown("a"))
                .unwrap();
            group.wait();
            let failing = ErrGroup::with_limit(1);
            for _ in 0..3 {
                let task = move || {
                    assert_shown("b");
                    Err("failed")
                };
                failing.go_with(named("b"), task).unwrap();
            }
            assert_eq!(failing.wait(), Err("failed"));
            let text = String::from("borrowed");
            let length = scope(|s| {
                let task = s.go_with(named("c"), || {
                    assert_shown("c");
                    text.len()
                });
                task.unwrap().join().unwrap()
            });
            assert_eq!(length, 8);

            // A goroutine that cannot be started leaves no wait and no failure.
            let wrong = || GoBuilder::new().stack(StackPolicy::Fixed(1));
            assert!(group.go_with(wrong(), || ()).is_err());
            group.wait();
            for _ in 0..2 {
                assert!(failing.go_with(wrong(), || Err("it ran")).is_err());
            }
            assert!(failing.try_go(|| Ok(())), "no place is taken");
            assert_eq!(failing.wait(), Ok(()));
            scope(|s| assert!(s.go_with(wrong(), || text.len()).is_err()));
        });
    });
}

#[test]
fn profiles_count_goroutines_by_their_names_and_labels() {
    let runtime = Runtime::builder().start().unwrap();
    let said = runtime.run(|| {
        let (tx, rx) = chan::<()>(0);
        let wait = |builder: GoBuilder| {
            let rx = rx.clone();
            builder.go(move || rx.recv()).unwrap()
        };
        let mut tasks: Vec<_> = (0..3)
            .map(|_| wait(GoBuilder::new().label("route", "/users")))
            .collect();
        let orders = GoBuilder::new().label("route", "/orders");
        tasks.push(wait(orders.name("clerk")));
        tasks.push(wait(GoBuilder::new().name("idler")));
        while goroutines().iter().filter(|info| info.waits).count() < 5 {
            yield_now();
        }
        let profile = goroutine_profile();
        let text = profile.to_string();
        assert!(text.contains("\n  3 with {route=/users}\n"), "{text}");
        assert!(
            text.contains("\n  1 with \"clerk\" {route=/orders}\n"),
            "{text}"
        );
        assert!(text.contains("\n  1 with \"idler\"\n"), "{text}");
        let said = pprof::tags(|out| profile.write_pprof(out));
        drop(tx);
        tasks
            .into_iter()
            .for_each(|task| assert_eq!(task.join().unwrap(), None));
        said
    });
    let Some(said) = said else { return };
    let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("route: Total 4"), "{said}");
    assert!(said.contains("name: Total 2"), "{said}");
    assert!(said.contains("): clerk"), "{said}");
    assert!(
        said.contains("): /users") && said.contains("): /orders"),
        "{said}"
    );
}

#[test]
fn traces_show_labels_of_ended_goroutines_too() {
    let runtime = Runtime::builder()
        .trace(trace::Level::Switches)
        .start()
        .unwrap();
    runtime.run(|| {
        let builder = GoBuilder::new()
            .name("worker")
            .labels([("route", "/\"q\""), ("user", "7")]);
        builder.go(yield_now).unwrap().join().unwrap();
        GoBuilder::new()
            .label("only", "label")
            .go(yield_now)
            .unwrap()
            .join()
            .unwrap();
    });
    let mut json = Vec::new();
    runtime.trace().write_chrome(&mut json).unwrap();
    let read: Value = serde_json::from_slice(&json).unwrap();
    let events = read["traceEvents"].as_array().unwrap();
    let span_with = |key: &str| {
        let find = |event: &&Value| event["ph"] == "X" && !event["args"][key].is_null();
        events
            .iter()
            .find(find)
            .unwrap_or_else(|| panic!("no {key} in {read}"))
    };
    let worker = span_with("label route");
    assert!(worker["name"].as_str().unwrap().starts_with("worker "));
    assert_eq!(worker["args"]["label route"], "/\"q\"");
    assert_eq!(worker["args"]["label user"], "7");
    let unnamed = span_with("label only");
    assert!(unnamed["name"].as_str().unwrap().starts_with("goroutine "));
}

#[test]
fn dumps_see_whole_labels_while_goroutines_end_and_begin() {
    each_runtime(|runtime| {
        let stop = Arc::new(AtomicBool::new(false));
        let starts: Vec<_> = (0..2)
            .map(|_| {
                let stop = stop.clone();
                runtime.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        for value in ["short", "a value that is much longer"] {
                            let child = GoBuilder::new().label("kind", value).go(yield_now);
                            child.unwrap().join().unwrap();
                        }
                    }
                })
            })
            .collect();
        for _ in 0..300 {
            for info in runtime.goroutines() {
                let is_whole = match info.labels.as_slice() {
                    [] => true,
                    [(key, value)] => {
                        key == "kind"
                            && ["short", "a value that is much longer"].contains(&value.as_str())
                    }
                    _ => false,
                };
                assert!(is_whole && info.name.is_none(), "{info}");
            }
        }
        stop.store(true, Ordering::Relaxed);
        starts.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn names_and_labels_forge_no_part_of_a_dump() {
    each_runtime(|runtime| {
        runtime.run(|| {
            let evil = "x\" [running]\ngoroutine 1 \u{1b}[2J\u{202e}";
            let labels = [
                ("plain", "GET /users"),
                (evil, "7} [running], a=b"),
                ("k", ""),
            ];
            let (tx, rx) = chan::<()>(0);
            let task = GoBuilder::new().name(evil).labels(labels).go(move || {
                let line = own_line();
                rx.recv();
                line
            });
            let task = task.unwrap();
            while goroutines().iter().filter(|info| info.waits).count() < 1 {
                yield_now();
            }
            let profile = goroutine_profile().to_string();
            drop(tx);
            let line = task.join().unwrap();
            let escaped = r#""x\" [running]\ngoroutine 1 \u{1b}[2J\u{202e}""#;
            let labels = format!(r#" {{plain=GET /users, {escaped}="7}} [running], a=b", k=}}"#);
            let begin = format!(" {escaped}{labels} [running], spawned at ");
            assert!(line.contains(&begin), "{line}");
            let groups: Vec<_> = profile
                .lines()
                .filter(|line| line.contains("with"))
                .collect();
            assert_eq!(groups, [format!("  1 with {escaped}{labels}")]);
        });
    });
}
