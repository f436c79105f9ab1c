//! The cases of `select!` that are futures.
//!
//! The futures of a select share one waker, which sends to a channel. The receive from this channel
//! is one more case of the select, so the engine has no code for futures.
//!
//! A round checks the channels and polls the futures. It begins at a random case: with the channels
//! if that case is on a channel, else with that future. If nothing is ready, the select parks, and
//! each wake begins another round.
//!
//! A future that is ready is taken at once, because it must not be polled again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::case::{Case, Cases};
use super::engine::{Entry, Taken, Wait, index_after, run};
use crate::chan::core::Side;
use crate::chan::{Receiver, Sender, chan};
use crate::sched;

/// `future(f)`
pub struct FutureCase<'a, F: Future> {
    future: Option<Pin<&'a mut F>>,
    output: Option<F::Output>,
}

impl<'a, F: Future> FutureCase<'a, F> {
    /// A case on this future.
    pub fn new(future: Pin<&'a mut F>) -> Self {
        Self {
            future: Some(future),
            output: None,
        }
    }

    /// A case on this future, or a disabled case.
    pub fn maybe(future: Pin<&'a mut Option<F>>) -> Self {
        Self {
            future: future.as_pin_mut(),
            output: None,
        }
    }
}

impl<F: Future> fmt::Debug for FutureCase<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FutureCase")
    }
}

impl<F: Future> Case for FutureCase<'_, F> {
    const FUTURES: usize = 1;
    type Output = F::Output;

    fn entry(&mut self) -> Entry {
        Entry::new(None, Side::Recv, NonNull::dangling().as_ptr())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(future) = &mut self.future
            && let Poll::Ready(output) = future.as_mut().poll(cx)
        {
            self.output = Some(output);
        }
        self.output.is_some()
    }

    fn finish(self, _: bool) -> F::Output {
        match self.output {
            Some(output) => output,
            None => unreachable!("a case is taken when its future is ready"),
        }
    }
}

/// The waker of the futures, which sends to the select's channel. It does not block, because the
/// caller may hold a lock.
struct SelectWaker(Sender<()>);

impl Wake for SelectWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(chan) = self.0.chan() {
            // A full buffer holds a wake that no round has received yet, and one is enough.
            chan.try_send(());
        }
    }
}

/// A pseudo-random number below `bound`. The state is global: two rounds, or two selects that take
/// turns, must not draw the same sequence.
fn draw(bound: usize) -> usize {
    static STATE: AtomicU32 = AtomicU32::new(0x9E37_79B9);
    // Relaxed, and not an atomic update: if two threads draw the same number, that does no harm.
    let mut state = STATE.load(Ordering::Relaxed);
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    STATE.store(state, Ordering::Relaxed);
    ((u64::from(state) * bound as u64) >> 32) as usize
}

#[inline(never)]
pub(super) fn select<L: Cases>(mut cases: L, mut wait: Wait) -> L::Output {
    let (wake_sender, wake_receiver) = chan(1);
    // The waker owns the sender, so the channel is not closed before the end of the select.
    let waker = Waker::from(Arc::new(SelectWaker(wake_sender)));
    let mut cx = Context::from_waker(&waker);
    let mut entries = Vec::with_capacity(L::LEN + 1);
    let taken = loop {
        let first = draw(L::LEN);
        if !cases.is_future(first)
            && let Some(taken) = run_channels(&mut cases, &mut entries, None, Wait::Poll)
        {
            break Some(taken);
        }
        let ready = (0..L::LEN)
            .map(|step| (first + step) % L::LEN)
            .find(|&index| cases.poll(index, &mut cx));
        if let Some(index) = ready {
            sched::give_way();
            let passed = true;
            break Some(Taken { index, passed });
        }
        if matches!(wait, Wait::Poll) {
            break run_channels(&mut cases, &mut entries, None, Wait::Poll);
        }
        let woke_itself = wake_receiver
            .chan()
            .is_some_and(|chan| chan.core().len() != 0);
        match run_channels(&mut cases, &mut entries, Some(&wake_receiver), wait) {
            Some(taken) if taken.index == L::LEN => {}
            other => break other,
        }
        // A future that wakes itself while it is polled wants other goroutines to run before its
        // next poll.
        if woke_itself {
            sched::park::yield_now();
        }
        if let Wait::Until(deadline_ns) = wait
            && sched::now_ns() >= deadline_ns
        {
            wait = Wait::Poll;
        }
    };
    cases.finish(taken)
}

/// Carries out the cases on channels. With `wake_receiver`, a receive from it is the last case.
/// Blocks the goroutine.
fn run_channels<L: Cases>(
    cases: &mut L,
    entries: &mut Vec<Entry>,
    wake_receiver: Option<&Receiver<()>>,
    wait: Wait,
) -> Option<Taken> {
    entries.clear();
    let mut add = |mut entry: Entry| {
        entry.index = index_after(entries.len());
        entries.push(entry);
    };
    cases.entries(&mut add);
    if let Some(wake_receiver) = wake_receiver {
        let core = wake_receiver.chan().map(|chan| chan.core_ptr());
        add(Entry::new(core, Side::Recv, NonNull::dangling().as_ptr()));
    }
    if matches!(wait, Wait::Poll) && !entries.iter().any(Entry::has_channel) {
        return None;
    }
    // SAFETY: the cases hold the elements and borrow the channels, and do not
    // move until the select is over; a wake has no size.
    unsafe { run(entries, wait) }
}
