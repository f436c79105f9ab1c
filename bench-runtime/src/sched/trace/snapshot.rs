//! What the recorder held at one moment.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::panic::Location;
use std::path::{Path, PathBuf};

use super::chrome;
use super::event::{Event, Kind};
use super::ring::Ring;
use crate::sched::runtime::Shared;
use crate::sys::clock;

/// What the flight recorder of a runtime held at one moment.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, go, trace, yield_now};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().trace(trace::Level::Switches).build() }?;
/// runtime.run(|| (0..3).for_each(|_| go(yield_now).join().unwrap()));
/// let trace = runtime.trace();
/// assert!(trace.events_count() > 0);
/// assert_eq!(trace.lost_count(), 0); // It did not run for long.
/// let mut json = Vec::new(); // Or a file, for ui.perfetto.dev.
/// trace.write_chrome(&mut json)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// One for each P, and one for what happened without a P.
    pub(super) tracks: Vec<Track>,
    /// The known goroutines, by their numbers.
    pub(super) goroutines: BTreeMap<u64, Who>,
}

#[derive(Clone, Debug)]
pub(super) struct Track {
    /// When it was read, before all that is not in it: the others are read at
    /// other times.
    pub(super) at_ns: u64,
    /// The number of the P, if it is one's.
    pub(super) p: Option<usize>,
    pub(super) lost_count: u64,
    pub(super) events: Vec<Event>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Who {
    pub(super) name: Option<String>,
    pub(super) spawned_at: Option<String>,
}

/// What the flight recorder of the current runtime holds; nothing on a plain
/// thread, for which there is [`crate::Runtime::trace`]. Stops no thread.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, trace};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let runtime = unsafe { Runtime::builder().build() }?;
/// let held = runtime.run(|| trace::snapshot().events_count());
/// assert!(held > 0); // At least that the P it runs on has started.
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn snapshot() -> Trace {
    crate::sched::runtime().map_or_else(Trace::default, Shared::trace)
}

impl Trace {
    /// How many events it has.
    #[must_use]
    pub fn events_count(&self) -> usize {
        self.tracks.iter().map(|track| track.events.len()).sum()
    }

    /// How many older ones were written over.
    #[must_use]
    pub fn lost_count(&self) -> u64 {
        self.tracks.iter().map(|track| track.lost_count).sum()
    }

    /// Writes it as JSON in Chrome's trace event format, which ui.perfetto.dev
    /// and `chrome://tracing` open: a track for each P with what ran on it,
    /// one for each M with the Ps it held, and arrows from the goroutine that made a
    /// goroutine runnable to where it ran.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::{Runtime, trace};
    ///
    /// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    /// let runtime = unsafe { Runtime::builder().trace(trace::Level::Switches).build() }?;
    /// runtime.run(|| ());
    /// let path = std::env::temp_dir().join(format!("trace-{}.json", std::process::id()));
    /// runtime.trace().write_chrome(&mut std::fs::File::create(&path)?)?;
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_chrome(&self, out: &mut impl Write) -> io::Result<()> {
        let mut out = BufWriter::new(out);
        chrome::write(self, &mut out)?;
        out.flush()
    }
}

impl Shared {
    /// What the recorder holds.
    pub(crate) fn trace(&'static self) -> Trace {
        let others = self.recorder.others.lock();
        let mut tracks = vec![track_of(None, &others)];
        drop(others);
        self.for_each_processor(|p| tracks.push(track_of(Some(p.id), &p.ring)));
        let mut goroutines: BTreeMap<u64, Who> = (self.goroutines().into_iter())
            .map(|info| {
                let who = Who {
                    name: info.name,
                    spawned_at: info.spawned_at,
                };
                (info.id, who)
            })
            .collect();
        for track in &tracks {
            learn(&track.events, &mut goroutines);
        }
        Trace { tracks, goroutines }
    }
}

fn track_of(p: Option<usize>, ring: &Ring) -> Track {
    let at_ns = clock::now_ns();
    let read = ring.read();
    Track {
        at_ns,
        p,
        lost_count: read.lost_count,
        events: read.records.into_iter().filter_map(Event::unpack).collect(),
    }
}

/// Takes sites and names of goroutines, which may have ended, from what
/// follows their spawn.
fn learn(events: &[Event], goroutines: &mut BTreeMap<u64, Who>) {
    for (at, spawn) in events.iter().enumerate() {
        if spawn.kind != Kind::Spawn {
            continue;
        }
        let mut who = Who::default();
        let mut name = Vec::new();
        for event in &events[at + 1..] {
            match event.kind {
                Kind::Site => {
                    let site = event.word as *const Location<'static>;
                    // SAFETY: `note_spawn` wrote the address of a static
                    // location, and the ring gives whole records only.
                    who.spawned_at = unsafe { site.as_ref() }.map(ToString::to_string);
                }
                Kind::Name => name.extend(event.word.to_le_bytes()),
                _ => break,
            }
        }
        let end = name.iter().position(|&byte| byte == 0);
        name.truncate(end.unwrap_or(name.len()));
        who.name = (!name.is_empty()).then(|| String::from_utf8_lossy(&name).into_owned());
        goroutines.entry(spawn.subject()).or_insert(who);
    }
}

/// Writes the trace of a runtime, the `number`th that is being written, to the
/// file that `THREADBARE_TRACE_FILE` names, if it is set. Says what came of it
/// on stderr: the user of that variable waits for it.
pub(crate) fn write_if_asked(shared: &'static Shared, number: usize) {
    let Some(file) = std::env::var_os("THREADBARE_TRACE_FILE") else {
        return;
    };
    let mut file = PathBuf::from(file);
    if number > 0 {
        file.as_mut_os_string().push(format!(".{number}"));
    }
    let write = |file: &Path| shared.trace().write_chrome(&mut File::create(file)?);
    match write(&file) {
        Ok(()) => crate::fatal::tell(format_args!("trace: see {}", file.display())),
        Err(error) => crate::fatal::tell(format_args!(
            "trace: cannot write {}: {error}; see THREADBARE_TRACE_FILE",
            file.display()
        )),
    }
}
