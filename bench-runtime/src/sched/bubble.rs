//! What a goroutine of a runtime with fake time asks of it: see [`crate::synctest`].

use std::ptr;

use super::current;
use super::park::{park, prepare_park};
use crate::goroutine::WaitReason;

/// See [`crate::synctest::wait`]; `at_end` of the main goroutine.
pub(crate) fn wait_for_rest(at_end: bool) {
    let shared = match current::runtime() {
        Some(shared) if shared.fake_now_ns.is_some() && current::header().is_some() => shared,
        _ => panic!("synctest::wait outside a bubble: see Builder::fake_time"),
    };
    let mut rest = shared.rest.lock();
    if rest[usize::from(at_end)].is_some() {
        drop(rest);
        panic!("synctest::wait: another goroutine of the bubble waits in it already");
    }
    let me = prepare_park(WaitReason::Rest, ptr::null());
    rest[usize::from(at_end)] = Some(me);
    drop(rest);
    park(me);
}

/// When the fake clock of the caller's runtime began.
pub(crate) fn begin_ns() -> Option<u64> {
    let shared = current::runtime()?;
    shared.fake_now_ns.as_ref()?;
    Some(shared.fake_begin_ns)
}

/// What has passed on it since.
pub(crate) fn passed_ns() -> Option<u64> {
    begin_ns().map(|begin| current::now_ns() - begin)
}
