//! Stealing: the oldest batch of another P's overflow, or half of its queue; nearest P first.

use std::ptr::NonNull;

use super::processor::{Processor, ThisP};
use super::shared::Shared;
use crate::goroutine::Goroutine;
use crate::recorder::event::Kind;

/// Returns the first stolen goroutine, and puts the other stolen ones into `p`'s queue, which must
/// be empty. Each pass visits every running P once: first the Ps that share the last-level cache,
/// then those of the same socket, then all other Ps. Each group is visited from a random number on.
pub(crate) fn steal(shared: &'static Shared, p: ThisP) -> Option<&'static Goroutine> {
    // Go's figure: enough that a short gap between pops does not send a thief to sleep.
    for _ in 0..4 {
        let made = shared.procs.made_count();
        let start = p.random() as usize % made;
        let (mut found, mut any_running) = (None, false);
        let running = || shared.idle.running.members(start, made);
        shared.topology.visit(p.id, running, |victim| {
            any_running = true;
            let victim = shared.procs.get(victim);
            found = victim.and_then(|victim| steal_from(victim, &p));
            found.is_some()
        });
        if found.is_some() || !any_running {
            return found;
        }
    }
    None
}

pub(super) fn steal_from(victim: &Processor, thief: &Processor) -> Option<&'static Goroutine> {
    let mut first = None;
    let mut put = |g| {
        if first.is_none() {
            first = Some(g);
        } else if thief.queue.push(NonNull::from(g)).is_err() {
            crate::fatal::fatal!("a thief's queue was not empty");
        }
    };
    let (count, found) = match victim.overflow.take_oldest(&mut put) as u32 {
        // SAFETY: entries are records, which are type-stable.
        0 => victim.queue.steal_half(|g| put(unsafe { g.as_ref() })),
        batch => (batch, batch),
    };
    if count != 0 {
        thief
            .recorder
            .record(Kind::Steal, victim.id as u64, count.into());
        Processor::count(&thief.stolen_count, count);
        Processor::count(&thief.thefts_count, 1);
        Processor::count(&thief.thefts_found_count, found);
    }
    first
}
