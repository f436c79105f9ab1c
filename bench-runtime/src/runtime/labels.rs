//! Labels of goroutines, shown in dumps, profiles and traces.

use std::fmt;
use std::io::{self, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::Ordering;

use crate::debug::info::write_tags;
use crate::goroutine::details::{Details, Labels, parts_of};
use crate::goroutine::header::goroutine_of;
use crate::sched::current;

/// The labels of the calling goroutine, as keys and values, from
/// [`GoBuilder::label`](crate::GoBuilder::label). Empty on a plain thread.
///
/// They are shown in dumps ([`GoroutineInfo`](crate::GoroutineInfo)), in traces, before the
/// message of a panic, and in the goroutine profile, which pprof can filter by them
/// (`-tagfocus`).
///
/// Unlike in Go, a goroutine does not inherit labels: `GoBuilder::labels(labels())` passes them
/// on. In place of Go's `pprof.Do`, start a goroutine with labels.
///
/// # Examples
///
/// ```
/// use bench_runtime::{GoBuilder, Runtime, go, labels};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let request = GoBuilder::new().label("route", "/users").go(|| {
///         assert!(go(labels).join().unwrap().is_empty());
///         let query = GoBuilder::new().labels(labels()).label("part", "query");
///         query.go(labels).unwrap().join().unwrap()
///     });
///     let shown = request.unwrap().join().unwrap();
///     assert_eq!(shown[0], ("route".to_owned(), "/users".to_owned()));
///     assert_eq!(shown[1], ("part".to_owned(), "query".to_owned()));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn labels() -> Vec<(String, String)> {
    let own = current::header().map(goroutine_of);
    let text = own.and_then(|g| g.details().and_then(Details::text));
    text.map_or_else(Vec::new, |text| parts_of(text).1)
}

/// A repeated key gets the new value.
pub(crate) fn add<K: AsRef<str>, V: AsRef<str>>(
    all: &mut Labels,
    more: impl IntoIterator<Item = (K, V)>,
) {
    for (key, value) in more {
        let (key, value) = (key.as_ref(), value.as_ref().to_owned());
        match all.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value,
            None => all.push((key.to_owned(), value)),
        }
    }
}

/// Sets a panic hook, once in a process, that prints the name and labels of the goroutine.
pub(crate) fn set_panic_hook() {
    static ONCE: Once = Once::new();
    // The hook cannot be set during a panic: a later call sets it.
    if ONCE.is_completed() || std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(said) = own_tags() {
                // `eprintln!` would panic again if the write failed.
                let _ = writeln!(io::stderr(), "{said}:");
            }
            next(info);
        }));
    });
}

/// `goroutine 7 "worker" {route=/}`; `None` for a goroutine without name and labels, and on a plain
/// thread.
fn own_tags() -> Option<String> {
    struct Tags<'a>(u64, Option<&'a str>, &'a Labels);
    impl fmt::Display for Tags<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "goroutine {}", self.0)?;
            write_tags(f, self.1, self.2)
        }
    }
    let own = goroutine_of(current::header()?);
    let (name, labels) = own.details().and_then(Details::text).map(parts_of)?;
    let id = own.id.load(Ordering::Relaxed);
    Some(Tags(id, name, &labels).to_string())
}
