//! A wait for a descriptor as a future: the protocol of [`super::wait`] without a park.
//!
//! A [`Pending`] takes the goroutine's place in the slot or in the queue. The thread that removes a
//! `Pending` readies it. So the drop of a future either removes the `Pending`, or blocks the thread
//! until the thread that removed the `Pending` has readied it.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::goroutine::pending::Pending;
use crate::net::attempt::{Attempt, Entered};
use crate::net::wait::{NEVER, Waits};
use crate::netpoll::Side;
use crate::sys::fd;
use crate::time::armed::{self, Armed};
use crate::timer::Action;

/// A wait until a descriptor is readable, or writable: for a case of
/// [`select!`](crate::select) and for async code. Methods such as
/// [`Descriptor::readable`](super::Descriptor::readable) return it.
///
/// - The future is ready when poll(2) reports that an operation of that side would not block: there
///   is data, a connection to accept, room, the end, or an error. Another task may still take the
///   data first.
/// - It fails after the deadline or the time-out, which counts from the first poll, and once the
///   descriptor is closed.
/// - It may be polled anywhere. It belongs to the runtime in which it was first polled, and is not
///   woken after that runtime has ended. If it was first polled outside every goroutine, a thread
///   of this crate wakes it.
/// - Dropping it ends the wait. After a wake, poll or drop it: until then, other waiters for the
///   same side may stay parked.
///
/// # Examples
///
/// ```
/// use bench_runtime::context::Context;
/// use bench_runtime::net::TcpListener;
/// use bench_runtime::{Runtime, go, select};
///
/// # fn main() -> std::io::Result<()> {
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let listener = TcpListener::bind("127.0.0.1:0")?;
///     let (ctx, cancel) = Context::background().with_cancel();
///     go!(cancel.cancel());
///     // Accepts connections until the context ends.
///     loop {
///         select! {
///             recv(ctx.done()) => break,
///             future(listener.readable()) -> ready => {
///                 ready?;
///                 let (_stream, peer) = listener.accept()?;
///                 println!("{peer} is here");
///             }
///         }
///     }
///     Ok(())
/// })
/// # }
/// ```
#[must_use = "nothing is waited for before it is polled"]
pub struct Readiness<'a> {
    attempt: Attempt<'a>,
    fd: BorrowedFd<'a>,
    side: Side,
    wait: Option<Wait>,
}

struct Wait {
    pending: &'static Pending,
    entered: Entered,
    deadline: Option<Deadline>,
}

/// A timer, with a `Pending` of its own. The timer does not use the descriptor, because a forgotten
/// future (`mem::forget`) does not keep the descriptor alive.
struct Deadline {
    timer: Armed,
    pending: &'static Pending,
    ticket: u32,
}

impl Deadline {
    /// Panics if the waker's clone does.
    fn arm(end_ns: u64, waker: &Waker) -> Self {
        let pending = Pending::new(waker);
        let who = pending.parkable();
        let ticket = who.ticket();
        Self {
            timer: armed::arm(end_ns, Action::Wake { who, ticket }),
            pending,
            ticket,
        }
    }

    fn end(self) {
        let was_waiting = self.pending.parkable().claim(self.ticket);
        self.timer.cancel();
        if !was_waiting {
            self.pending.wait_ready();
        }
        self.pending.give_back();
    }
}

impl<'a> Readiness<'a> {
    pub(super) fn new(waits: &'a Waits, fd: BorrowedFd<'a>, side: Side) -> Self {
        Self {
            attempt: Attempt::begin(waits, side, NEVER),
            fd,
            side,
            wait: None,
        }
    }

    /// Begins a wait, unless the descriptor must be checked again first.
    fn begin(&mut self, cx: &Context<'_>) -> io::Result<()> {
        let pending = Pending::new(cx.waker());
        let who = pending.parkable();
        let entered = match self.attempt.enter(self.fd, who) {
            Ok(Some(entered)) => entered,
            other => {
                pending.give_back();
                return other.map(|_| ());
            }
        };
        // If a waker panics from here on, the drop of the future ends the wait.
        let wait = self.wait.insert(Wait {
            pending,
            entered,
            deadline: None,
        });
        wait.deadline = match self.attempt.end_ns() {
            NEVER => None,
            end_ns => Some(Deadline::arm(end_ns, cx.waker())),
        };
        Ok(())
    }

    /// Ends the wait, if there is one, readied or not.
    fn end(&mut self) {
        let Some(wait) = self.wait.take() else { return };
        let who = wait.pending.parkable();
        let was_waiting = match wait.entered {
            Entered::Slot(desc) => desc.expire(self.side, who),
            Entered::Queue(place) => {
                let claimed = who.claim(place.ticket());
                self.attempt.leave_queue(place);
                claimed
            }
        };
        if !was_waiting {
            wait.pending.wait_ready();
        }
        if let Some(deadline) = wait.deadline {
            deadline.end();
        }
        wait.pending.give_back();
    }
}

impl Future for Readiness<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if let Some(wait) = &this.wait {
                // Both `Pending`s are polled, because each keeps the waker.
                let is_readied = wait.pending.is_ready(cx.waker());
                let deadline = wait.deadline.as_ref();
                let is_late = deadline.is_some_and(|d| d.pending.is_ready(cx.waker()));
                if !is_readied && !is_late {
                    return Poll::Pending;
                }
                this.end();
            }
            let checked = this.attempt.check();
            if checked.is_err() || fd::is_ready(this.fd, this.side == Side::Write) {
                this.attempt.pass_on();
                return Poll::Ready(checked);
            }
            if let Err(error) = this.begin(cx) {
                this.attempt.pass_on();
                return Poll::Ready(Err(error));
            }
        }
    }
}

impl Drop for Readiness<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Readiness<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("fd", &self.fd)
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}
