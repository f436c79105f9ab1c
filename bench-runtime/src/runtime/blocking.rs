//! Blocking calls: on which thread they run.
//!
//! | the runtime | the goroutine                | `f` runs on                      |
//! |-------------|------------------------------|----------------------------------|
//! | any         | locked to its thread         | its own stack, without a P       |
//! | migrating   | unwinding                    | its own stack, without a P       |
//! | migrating   | with a large stack           | its own stack, without a P       |
//! | any         | any other                    | a helper; the goroutine is parked|
//!
//! A stack is large if it has 8 MiB, as a helper's has.
//!
//! While a helper runs `f`, the goroutine has status Syscall, so no sweep trims or compacts the
//! stack that `f` borrows from. For the deadlock check and for fake time the goroutine counts as
//! blocked, not as waiting.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use crate::goroutine::header::goroutine_of;
use crate::goroutine::{Goroutine, Parkable, Status, WaitReason};
use crate::recorder::event::Kind;
use crate::sched::current::{self, machine_of};
use crate::sched::job::Job;
use crate::sched::preempt::reacquire_p;
use crate::sched::processor::ThisP;
use crate::sched::shared::Blocked;
use crate::sched::{self, hand_off, helpers, scheduler};
use crate::stack::{Stack, StackHeader};
use crate::threads::HELPER_STACK;

type Outcome<T> = Result<T, Box<dyn Any + Send>>;

/// Runs `f`, which may block the OS thread: a system call, a foreign library, a long computation.
/// Other goroutines continue; the calling goroutine waits for `f`. On a plain thread this only
/// calls `f`.
///
/// `f` runs on another thread, with a stack of 8 MiB; in a migrating runtime it runs on the
/// goroutine's own thread if the goroutine's stack is as large. If the goroutine is locked to its
/// thread, `f` runs on that thread, and in a pinned runtime the other goroutines of the thread wait
/// for it.
///
/// `f` is not run as a goroutine: it may use channels and locks, which then block its thread, but
/// it cannot start goroutines with [`go`](fn@crate::go).
///
/// The captures of `f` must be `Send`. A `&T` is not `Send` if `T` is not `Sync`, as with
/// `&rusqlite::Connection`. Lend such a value as `&mut T`, which is `Send` if `T` is, and move
/// that reference into `f`; or move the value itself in and out.
///
/// # Panics
///
/// With the panic of `f`.
///
/// # Examples
///
/// ```
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let text = unsafe { bench_runtime::Runtime::builder().build() }?.run(|| {
///     bench_runtime::blocking(|| std::fs::read_to_string("/proc/self/comm"))
/// })?;
/// assert!(!text.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A value that is `Send` and not `Sync`, lent as `&mut`:
///
/// ```
/// use std::cell::Cell;
///
/// struct Connection(Cell<u32>);
/// impl Connection {
///     fn query(&self) -> u32 {
///         self.0.replace(self.0.get() + 1)
///     }
/// }
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { bench_runtime::Runtime::builder().build() }?.run(|| {
///     let mut connection = Connection(Cell::new(7));
///     let db = &mut connection;
///     let got = bench_runtime::blocking(move || db.query());
///     assert_eq!((got, connection.query()), (7, 8));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn blocking<T, F>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let Some(header) = current::header() else {
        return f();
    };
    let has_room = Stack::from_header(NonNull::from(header)).usable() >= HELPER_STACK;
    let outcome = match scheduler::blocks_on_helper(header, has_room) {
        true => on_helper(header, f),
        false => in_place(header, f),
    };
    match outcome {
        Ok(value) => value,
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// Must be called inside the runtime.
fn note(p: Option<ThisP>, kind: Kind, g: &Goroutine) {
    if let Some(p) = p {
        p.recorder.record(kind, g.id.load(Ordering::Relaxed), 0);
    }
}

/// As [`note`], called outside the runtime.
fn note_from_outside(header: &StackHeader, kind: Kind) {
    let m = machine_of(header);
    note(m.enter().0, kind, goroutine_of(header));
    m.leave(false);
}

fn in_place<T>(header: &'static StackHeader, f: impl FnOnce() -> T) -> Outcome<T> {
    let m = machine_of(header);
    let g = goroutine_of(header);
    let (p, _) = m.enter();
    note(p, Kind::Block, g);
    g.set_status(Status::Syscall);
    g.head
        .reason
        .store(WaitReason::Blocking as u8, Ordering::Relaxed);
    let blocked = Blocked::begin(m.shared());
    hand_off::give_up_processor(m.shared(), m);
    m.leave(false);
    // `AssertUnwindSafe`: the caller gets the panic.
    let outcome = panic::catch_unwind(AssertUnwindSafe(f));
    // The goroutine had no P, so it was not moved: it is still on the same M.
    let m = machine_of(header);
    m.enter();
    note(Some(reacquire_p(header)), Kind::Unblock, g);
    drop(blocked);
    g.head.reason.store(0, Ordering::Relaxed);
    g.set_status(Status::Running);
    machine_of(header).leave(false);
    outcome
}

/// A job for a helper, on the stack of the goroutine that waits for it.
struct Call<F, T> {
    f: Option<F>,
    outcome: Option<Outcome<T>>,
    who: Parkable,
}

/// # Safety
///
/// `call` points to a `Call<F, T>`. Its goroutine is parked, or about to park, until the caller
/// of this function readies it.
unsafe fn run<F: FnOnce() -> T, T>(call: *mut ()) -> Option<Parkable> {
    // SAFETY: the goroutine uses the call again only after it was readied.
    let call = unsafe { &mut *call.cast::<Call<F, T>>() };
    let who = call.who;
    call.outcome = call
        .f
        .take()
        .map(|f| panic::catch_unwind(AssertUnwindSafe(f)));
    Some(who)
}

fn on_helper<T, F>(header: &'static StackHeader, f: F) -> Outcome<T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let shared = machine_of(header).shared();
    let blocked = Blocked::begin(shared);
    note_from_outside(header, Kind::Block);
    let who = sched::prepare_park(WaitReason::Blocking, ptr::null());
    goroutine_of(header).set_status(Status::Syscall);
    let mut call = Call {
        f: Some(f),
        outcome: None,
        who,
    };
    let call = &raw mut call;
    // SAFETY: the call is on our stack, and we are parked until it has run. If
    // the runtime stops before, we never continue, and the stack of a goroutine
    // that has not ended is neither freed nor reused. Closure and result are
    // `Send`.
    let was_spinning = unsafe {
        helpers::help(
            shared,
            Job {
                run: run::<F, T>,
                data: call.cast(),
            },
        )
    };
    machine_of(header)
        .helper_was_spinning
        .store(was_spinning, Ordering::Relaxed);
    sched::park(who);
    note_from_outside(header, Kind::Unblock);
    drop(blocked);
    // SAFETY: the helper readied us after its last use of the call.
    match unsafe { (*call).outcome.take() } {
        Some(outcome) => outcome,
        None => crate::fatal::fatal!("a blocking call came back without having run"),
    }
}
