//! Prints changes in a folder, which inotify reports, until Ctrl-C.
//!
//! `cargo run --release --example watcher -- /tmp`

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bench_runtime::context::Context;
use bench_runtime::io::stdout;
use bench_runtime::net::Descriptor;
use bench_runtime::signal::{self, Signal};
use bench_runtime::{Receiver, Runtime, chan, go};
use nix::sys::inotify::{AddWatchFlags as Flags, InitFlags, Inotify};

const KINDS: [(Flags, &str); 5] = [
    (Flags::IN_CREATE, "created"),
    (Flags::IN_CLOSE_WRITE, "written"),
    (Flags::IN_DELETE, "deleted"),
    (Flags::IN_MOVED_FROM, "moved away"),
    (Flags::IN_MOVED_TO, "moved here"),
];

/// The changes in `folder`, one line each, until the context ends.
///
/// # Errors
///
/// When the kernel refuses to watch the folder.
pub(crate) fn watch(folder: &Path, ctx: &Context) -> io::Result<Receiver<String>> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let all = KINDS.iter().map(|(flag, _)| *flag).collect();
    inotify.add_watch(folder, all)?;
    let ready = Arc::new(Descriptor::duplicate_of(&inotify)?);
    let (changes, lines) = chan(16);
    let theirs = ready.clone();
    let end = ctx.after_func(move || theirs.set_read_deadline(Some(Instant::now())));
    go!({
        // When the context ends, the read fails; then the channel closes.
        while let Ok(events) = ready.read_with(|| Ok(inotify.read_events()?)) {
            for event in events {
                let name = event.name.unwrap_or_default();
                let is_set = |(flag, _): &&(Flags, _)| event.mask.contains(*flag);
                let Some((_, kind)) = KINDS.iter().find(is_set) else {
                    continue;
                };
                if changes.send(format!("{kind}: {}", name.display())).is_err() {
                    return;
                }
            }
        }
        end.stop();
    });
    Ok(lines)
}

fn main() -> io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    unsafe { Runtime::builder().build() }?.run(move || {
        let signals = signal::notify(&[Signal::INT, Signal::TERM])?;
        let (ctx, cancel) = Context::background().with_cancel();
        let changes = watch(Path::new(&folder), &ctx)?;
        go!({
            signals.recv();
            cancel.cancel();
        });
        for change in changes {
            writeln!(stdout(), "{change}")?;
        }
        Ok(())
    })
}
