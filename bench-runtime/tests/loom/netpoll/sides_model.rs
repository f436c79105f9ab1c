//! A stream that another poller begins to watch, which this one then leaves to it: a goroutine that
//! waits here gets its message.

use super::scene::{Scene, spawn};
use super::{Broken, Side};

/// One message comes while the side is left `leaves` times, by a thread of each.
fn read_while_left(broken: Broken, leaves: usize) {
    crate::bounded(3, move || {
        let scene = Scene::new(broken);
        let mut threads = vec![spawn(&scene, Scene::poll)];
        threads
            .extend((0..leaves).map(|_| spawn(&scene, |scene| scene.desc.leave_side(Side::Read))));
        if leaves == 1 {
            threads.push(spawn(&scene, |scene| scene.kernel().write(1)));
        } else {
            // Loom has four threads at most.
            scene.kernel().write(1);
        }
        scene.read_all(1, threads);
    });
}

#[test]
fn message_is_read_while_the_side_is_left() {
    read_while_left(Broken::Nothing, 1);
}

#[test]
fn message_that_is_there_is_read_while_the_side_is_left_twice() {
    read_while_left(Broken::Nothing, 2);
}

#[test]
#[should_panic(expected = "deadlock")]
fn canary_waiter_that_does_not_check_the_watch() {
    read_while_left(Broken::Unchecked, 1);
}

#[test]
fn canary_watch_that_begins_without_an_event() {
    let name = "netpoll::sides_model::canary_watch_that_begins_without_an_event";
    crate::expect_deadlock(name, || read_while_left(Broken::SilentChange, 1));
}
