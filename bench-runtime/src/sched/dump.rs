//! What goroutines are doing: for reports of overflow and deadlock, and on
//! demand. It takes no scheduler lock, and delays no goroutine: see [`super::look`].

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::current;
use super::look::{self, Look, Seen};
use super::machine::Machine;
use super::runtime::Shared;
use super::signals;
use crate::goroutine::{Details, Goroutine, Status, WaitReason};
use crate::util::lock::Lock;

/// What one goroutine was doing when it was looked at.
///
/// # Examples
///
/// ```
/// use bench_runtime::{GoBuilder, Runtime, chan, goroutines, yield_now};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let (tx, rx) = chan::<()>(0);
///     let reader = GoBuilder::new().name("reader").go(move || rx.recv()).unwrap();
///     let seen = loop {
///         match goroutines().into_iter().find(|g| g.id == reader.id() && g.waits) {
///             Some(seen) => break seen,
///             None => yield_now(),
///         }
///     };
///     assert_eq!(seen.state, "chan receive");
///     assert_eq!(seen.name.as_deref(), Some("reader"));
///     println!("{seen}"); // With what it waits on, and where it was spawned.
///     drop(tx);
///     reader.join().unwrap();
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GoroutineInfo {
    /// Its number, unique in its runtime.
    pub id: u64,
    /// The name given at spawn.
    pub name: Option<String>,
    /// What it does or waits for, in Go's words: `chan receive`, `running`.
    pub state: String,
    /// True if it is parked, or in a blocking call.
    pub waits: bool,
    /// What it waits for, as an address: the same for all that wait for the
    /// same channel or lock.
    pub object: Option<usize>,
    /// The goroutine that could end the wait, where there is one: the holder
    /// of the mutex, or the one to be joined. Not given for one that is only just
    /// going to sleep.
    pub held_by: Option<u64>,
    /// Where it was spawned.
    pub spawned_at: Option<String>,
}

impl fmt::Display for GoroutineInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goroutine {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " \"{name}\"")?;
        }
        write!(f, " [{}", self.state)?;
        if let Some(object) = self.object {
            write!(f, " on {object:#x}")?;
        }
        if let Some(holder) = self.held_by {
            write!(f, ", held by goroutine {holder}")?;
        }
        f.write_str("]")?;
        if let Some(site) = &self.spawned_at {
            write!(f, ", spawned at {site}")?;
        }
        Ok(())
    }
}

fn state_of(status: Status, reason: WaitReason) -> &'static str {
    match status {
        Status::Waiting | Status::Syscall => reason.as_str(),
        Status::Runnable => "runnable",
        Status::Running => "running",
        Status::Idle | Status::Dead => "dead",
    }
}

impl GoroutineInfo {
    /// `None` if there was no goroutine.
    pub(super) fn of(seen: &Seen<'_>) -> Option<Self> {
        (!matches!(seen.status, Status::Idle | Status::Dead)).then(|| Self {
            id: seen.id,
            name: seen.name.as_deref().map(str::to_owned),
            state: state_of(seen.status, seen.reason).to_owned(),
            waits: matches!(seen.status, Status::Waiting | Status::Syscall),
            object: Some(seen.object as usize).filter(|&object| object != 0),
            held_by: seen.held_by,
            spawned_at: seen.site.map(ToString::to_string),
        })
    }
}

/// Looks at a goroutine; `None` if it is none at the moment.
pub(super) fn look_at(g: &'static Goroutine) -> Option<GoroutineInfo> {
    let mut info = None;
    Look::default().over(&[g], 1, 0, |seen| info = GoroutineInfo::of(&seen));
    info
}

/// Writes a goroutine's number and name, from the `g` of a stack header; called in a
/// signal handler of the thread that runs it, so it neither locks nor
/// allocates.
pub(crate) fn describe_in_signal_handler(g: *mut (), out: &mut dyn Write) {
    // SAFETY: the header of a running goroutine holds its record.
    let Some(g) = (unsafe { g.cast::<Goroutine>().as_ref() }) else {
        return;
    };
    let _ = write!(out, "goroutine {}", g.id.load(Ordering::Relaxed));
    if let Some(name) = g.details().and_then(Details::name) {
        let _ = write!(out, " \"{name}\"");
    }
    let reason = WaitReason::from_u8(g.head.reason.load(Ordering::Relaxed));
    let _ = write!(out, " [{}]", state_of(g.status(), reason));
    if let Some(site) = g.site() {
        let _ = write!(out, ", spawned at {site}");
    }
}

/// The goroutines of the current runtime; none on a plain thread.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, goroutines, num_goroutine};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     for goroutine in goroutines() {
///         println!("{goroutine}");
///     }
///     assert_eq!(goroutines().len(), num_goroutine());
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn goroutines() -> Vec<GoroutineInfo> {
    super::give_way();
    super::park::runtime().map_or_else(Vec::new, Shared::goroutines)
}

impl Shared {
    pub(super) fn debug_state(&'static self) -> String {
        let mut out = String::new();
        let ids =
            |ms: &mut dyn Iterator<Item = &&'static Machine>| ms.map(|m| m.id).collect::<Vec<_>>();
        {
            let lists = self.idle.lock();
            let _ = writeln!(
                out,
                "procs {} idle Ps {:?} sleeping Ms {:?} reserved {:?} in line {:?} spinning {} poller {:?} global {:?}",
                self.procs(),
                lists.processors.iter().map(|p| p.id).collect::<Vec<_>>(),
                ids(&mut lists.machines.iter()),
                ids(&mut lists.reserved.iter()),
                ids(&mut lists.p_waiters.iter()),
                self.idle.spinning_count.load(Ordering::SeqCst),
                self.poller,
                self.global,
            );
        }
        self.for_each_processor(|p| {
            let owner = p.owner.load(Ordering::SeqCst);
            let _ = writeln!(
                out,
                "P{} {:?} queue {} next {:?} notice {:?} owner {:?} timers {}",
                p.id,
                p.status(),
                p.queue.len(),
                p.run_next,
                p.notice,
                // SAFETY: Ms live as long as the runtime.
                unsafe { owner.as_ref() }.map(|m| m.id),
                p.timers.len(),
            );
        });
        for m in self.machines.lock().iter() {
            let _ = writeln!(
                out,
                "M{} {:?} mail {} spinning {:?}",
                m.id,
                m.held().map(|p| p.id),
                m.has_mail(),
                m.spinning
            );
        }
        for info in self.goroutines() {
            let _ = writeln!(out, "{info}");
        }
        out
    }

    /// Every goroutine that has not ended, by its number.
    pub(crate) fn goroutines(&'static self) -> Vec<GoroutineInfo> {
        let mut all = Vec::new();
        Look::default().over(&self.records_in_use(), look::MOST, 0, |seen| {
            all.extend(GoroutineInfo::of(&seen));
        });
        all.sort_by_key(|info| info.id);
        all
    }
}

/// Runtimes that write a dump at SIGQUIT.
static ON_QUIT: Lock<Vec<&'static Shared>> = Lock::new(Vec::new());
static QUIT_READY: AtomicBool = AtomicBool::new(false);

/// Threads of ours that belong to no runtime, for the count of outside ones.
pub(crate) static HELPERS_COUNT: AtomicUsize = AtomicUsize::new(0);

/// From now on SIGQUIT writes this runtime's goroutines to stderr, and the
/// program goes on.
pub(crate) fn dump_on_quit(shared: &'static Shared) -> std::io::Result<()> {
    let mut all = ON_QUIT.lock();
    all.push(shared);
    if QUIT_READY.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    drop(all);
    let (told, quits) = std::sync::mpsc::channel();
    let quit = crate::sys::notice::bit(libc::SIGQUIT);
    let tell = move |_| {
        // The thread that hears it stays.
        let _ = told.send(());
    };
    signals::listen(quit, tell)?.forget();
    HELPERS_COUNT.fetch_add(1, Ordering::SeqCst);
    std::thread::Builder::new()
        .name("sigquit".into())
        .stack_size(REPORT_STACK)
        .spawn(move || {
            for () in quits {
                // One that is on the list has not stopped, so it is there.
                let all: Vec<_> = ON_QUIT.lock().iter().map(|shared| shared.user()).collect();
                for (number, user) in all.iter().enumerate() {
                    write_all("SIGQUIT: all goroutines\n\n", &user.shared().goroutines());
                    super::trace::write_if_asked(user.shared(), number);
                    write_stacks(user.shared());
                }
            }
        })?;
    Ok(())
}

pub(crate) fn no_dump_on_quit(shared: &'static Shared) {
    ON_QUIT.lock().retain(|other| !std::ptr::eq(*other, shared));
}

/// Writes a heading and a line a goroutine to stderr.
pub(crate) fn write_all(heading: &str, goroutines: &[GoroutineInfo]) {
    let mut out = crate::fatal::StderrBuffer::new();
    let _ = out.write_str(heading);
    for info in goroutines {
        let _ = writeln!(out, "{info}");
    }
    out.flush();
}

/// Bytes of stack that finding the names of frames may need.
const REPORT_STACK: usize = 1 << 20;

/// Writes the goroutines' stacks to stderr, equal ones once.
fn write_stacks(shared: &'static Shared) {
    let mut out = crate::fatal::StderrBuffer::new();
    let _ = write!(out, "\n{}", shared.goroutine_profile(usize::MAX));
    out.flush();
}

/// As [`write_stacks`], on a thread of its own, for callers whose stack is small.
pub(crate) fn write_stacks_apart(shared: &'static Shared) {
    let thread = std::thread::Builder::new()
        .stack_size(REPORT_STACK)
        .spawn(move || write_stacks(shared));
    // Without a thread the report has no stacks.
    if let Ok(thread) = thread {
        let _ = thread.join();
    }
}

/// True on a goroutine's stack.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, in_goroutine};
///
/// assert!(!in_goroutine());
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// assert!(unsafe { Runtime::builder().build() }?.run(in_goroutine));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn in_goroutine() -> bool {
    current::header().is_some()
}
