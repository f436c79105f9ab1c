//! A pipe that is level-triggered now and then: its reader gets every message,
//! and the watch is not changed once the number may belong to another file.

use super::Broken;
use super::desc::PollDesc;
use super::scene::{Scene, spawn};

/// This many empty reads, each after a read, make a watch level-triggered.
const TRIALS: usize = 6;

/// Notes empty reads: as many as make the watch level-triggered, or one fewer.
fn learn(scene: &Scene, by_level: bool) {
    for _ in usize::from(!by_level)..TRIALS {
        scene.desc.note_read(0, true);
        scene.desc.note_empty_read(0, false);
    }
    assert_eq!(scene.desc.is_watched_by_level(), by_level);
}

/// `present` messages are in the pipe at the start, and `later` messages arrive.
fn read_all(broken: Broken, by_level: bool, pollers: usize, present: usize, later: usize) {
    crate::bounded(2, move || {
        let scene = Scene::new(broken);
        learn(&scene, by_level);
        if present > 0 {
            scene.kernel().write(present);
        }
        let mut threads: Vec<_> = (0..pollers).map(|_| spawn(&scene, Scene::poll)).collect();
        if later > 0 {
            threads.push(spawn(&scene, move |scene| {
                (0..later).for_each(|_| scene.kernel().write(1));
            }));
        }
        scene.read_all(present + later, threads);
    });
}

#[test]
fn remaining_data_is_reported_while_two_pollers_change_the_watch() {
    read_all(Broken::Nothing, true, 2, 2, 0);
}

#[test]
fn messages_that_come_while_the_watch_changes_to_edge_are_read() {
    read_all(Broken::Nothing, true, 1, 1, 2);
}

#[test]
fn messages_that_come_while_the_watch_changes_to_level_are_read() {
    read_all(Broken::Nothing, false, 1, 1, 2);
}

#[test]
fn canary_watch_by_edge_before_the_guess_is_withdrawn() {
    let name = "netpoll::level_model::canary_watch_by_edge_before_the_guess_is_withdrawn";
    crate::expect_deadlock(name, || {
        read_all(Broken::EarlyEdge, true, 2, 2, 0);
    });
}

#[test]
fn canary_change_that_is_no_event() {
    let name = "netpoll::level_model::canary_change_that_is_no_event";
    crate::expect_deadlock(name, || {
        read_all(Broken::SilentChange, true, 1, 2, 0);
    });
}

/// The watch ends while a poller has an event of it, and another file gets the number.
fn end_against_event(close: impl Fn(&PollDesc) + Sync + Send + 'static) {
    loom::model(move || {
        let scene = Scene::new(Broken::Nothing);
        learn(&scene, true);
        scene.kernel().write(1);
        let poller = spawn(&scene, Scene::poll);
        // The watch is deleted, which ends the polls.
        scene.kernel().end();
        close(&scene.desc);
        scene.kernel().item.lock().unwrap().is_another = true;
        poller.join().unwrap();
    });
}

#[test]
fn watch_is_not_changed_after_the_poll_desc_is_closed() {
    end_against_event(PollDesc::close);
}

#[test]
#[should_panic(expected = "changed the watch of another file")]
fn canary_poll_desc_that_is_not_closed() {
    end_against_event(|_| ());
}
