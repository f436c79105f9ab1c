//! The states of goroutines, for reports of overflow and deadlock, and for the program.

use std::fmt::{self, Write};
use std::sync::atomic::Ordering;

use super::inspect::{self, Inspection, Seen};
use crate::goroutine::details::parts_of;
use crate::goroutine::slab::Slab;
use crate::goroutine::{Details, Goroutine, Status, WaitReason};

/// The state of one goroutine when it was read.
///
/// Its [`Display`](fmt::Display) is one line. Names, and labels with special characters, are quoted
/// and escaped, so they cannot be mistaken for another part of a dump, or for a command to a
/// terminal.
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
    /// Its labels, by key and value: see [`labels`](crate::labels()).
    pub labels: Vec<(String, String)>,
    /// Its state or wait, in Go's words: `chan receive`, `running`.
    pub state: String,
    /// True if it is parked, or in a blocking call.
    pub waits: bool,
    /// The address of the object that it waits for.
    pub object: Option<usize>,
    /// The holder of the mutex, or the goroutine to be joined. `None` while the waiting goroutine
    /// is about to park.
    pub held_by: Option<u64>,
    /// The spawn site.
    pub spawned_at: Option<String>,
}

impl fmt::Display for GoroutineInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goroutine {}", self.id)?;
        write_tags(f, self.name.as_deref(), &self.labels)?;
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

struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |c: char| !"{}[]=,".contains(c) && c.escape_debug().len() == 1;
        match self.0.chars().all(is_plain) {
            true => f.write_str(self.0),
            false => write!(f, "{:?}", self.0),
        }
    }
}

/// A name and labels, as ` "name" {key=value, key=value}`; nothing if there are none.
pub(crate) fn write_tags(
    out: &mut dyn Write,
    name: Option<&str>,
    labels: &[(String, String)],
) -> fmt::Result {
    if let Some(name) = name {
        write!(out, " {name:?}")?;
    }
    for (at, (key, value)) in labels.iter().enumerate() {
        let before = if at == 0 { " {" } else { ", " };
        write!(out, "{before}{}={}", Shown(key), Shown(value))?;
    }
    match labels.is_empty() {
        true => Ok(()),
        false => out.write_char('}'),
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
    pub(crate) fn of(seen: &Seen<'_>) -> Option<Self> {
        if matches!(seen.status, Status::Idle | Status::Dead) {
            return None;
        }
        let (name, labels) = seen.name.as_deref().map(parts_of).unwrap_or_default();
        Some(Self {
            id: seen.id,
            name: name.map(str::to_owned),
            labels,
            state: state_of(seen.status, seen.reason).to_owned(),
            waits: matches!(seen.status, Status::Waiting | Status::Syscall),
            object: Some(seen.object as usize).filter(|&object| object != 0),
            held_by: seen.held_by,
            spawned_at: seen.site.map(ToString::to_string),
        })
    }
}

pub(crate) fn info_of(g: &'static Goroutine) -> Option<GoroutineInfo> {
    let mut info = None;
    Inspection::default().inspect_all(&[g], 1, 0, |seen| info = GoroutineInfo::of(&seen));
    info
}

/// Called in a signal handler of the thread that runs the goroutine, so it neither locks nor
/// allocates.
pub(crate) fn describe_in_signal_handler(g: *mut (), out: &mut dyn Write) {
    // SAFETY: the header of a running goroutine holds its record.
    let Some(g) = (unsafe { g.cast::<Goroutine>().as_ref() }) else {
        return;
    };
    let _ = write!(out, "goroutine {}", g.id.load(Ordering::Relaxed));
    if let Some(name) = g.details().and_then(Details::name) {
        let _ = write!(out, " {name:?}");
    }
    let reason = WaitReason::from_u8(g.head.reason.load(Ordering::Relaxed));
    let _ = write!(out, " [{}]", state_of(g.status(), reason));
    if let Some(site) = g.site() {
        let _ = write!(out, ", spawned at {site}");
    }
}

pub(crate) fn infos_in(slab: &Slab) -> Vec<GoroutineInfo> {
    let mut all = Vec::new();
    Inspection::default().inspect_all(&slab.in_use(), inspect::BATCH, 0, |seen| {
        all.extend(GoroutineInfo::of(&seen));
    });
    all.sort_by_key(|info| info.id);
    all
}
