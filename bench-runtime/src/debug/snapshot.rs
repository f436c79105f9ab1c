use std::collections::BTreeMap;
use std::fs::File;
use std::panic::Location;
use std::path::{Path, PathBuf};

use super::info::GoroutineInfo;
use crate::goroutine::details::parts_of;
use crate::recorder::chrome::{Trace, Track, Who};
use crate::recorder::event::{Event, Kind};
use crate::recorder::ring::Ring;
use crate::sys::clock;

pub(crate) fn of(tracks: Vec<Track>, infos: Vec<GoroutineInfo>) -> Trace {
    let mut goroutines: BTreeMap<u64, Who> = (infos.into_iter())
        .map(|info| {
            let who = Who {
                name: info.name,
                labels: info.labels,
                spawned_at: info.spawned_at,
            };
            (info.id, who)
        })
        .collect();
    for track in &tracks {
        add_spawned(&track.events, &mut goroutines);
    }
    Trace { tracks, goroutines }
}

pub(crate) fn track_of(p: Option<usize>, ring: &Ring) -> Track {
    let at_ns = clock::now_ns();
    let read = ring.read();
    Track {
        at_ns,
        p,
        lost_count: read.lost_count,
        events: read.records.into_iter().filter_map(Event::unpack).collect(),
    }
}

/// Adds the goroutines of spawn events that are not in the map, because they have ended.
fn add_spawned(events: &[Event], goroutines: &mut BTreeMap<u64, Who>) {
    for (at, spawn) in events.iter().enumerate() {
        if spawn.kind != Kind::Spawn {
            continue;
        }
        let mut who = Who::default();
        let mut text = Vec::new();
        for event in &events[at + 1..] {
            match event.kind {
                Kind::Site => {
                    let site = event.word as *const Location<'static>;
                    // SAFETY: `note_spawn` wrote the address of a static location, and the ring
                    // returns whole records only.
                    who.spawned_at = unsafe { site.as_ref() }.map(ToString::to_string);
                }
                Kind::Name => text.extend(event.word.to_le_bytes()),
                _ => break,
            }
        }
        // The last word is padded with NULs.
        let end = text.iter().rposition(|&byte| byte != 0);
        text.truncate(end.map_or(0, |end| end + 1));
        if !text.is_empty() {
            let text = String::from_utf8_lossy(&text);
            let (name, labels) = parts_of(&text);
            (who.name, who.labels) = (name.map(str::to_owned), labels);
        }
        goroutines.entry(spawn.subject()).or_insert(who);
    }
}

/// Writes the trace of a runtime to the file that `THREADBARE_TRACE_FILE` names, if it is set, and
/// says so on stderr. `number` counts the runtimes whose traces are written.
pub(crate) fn write_trace_file(number: usize, trace: impl FnOnce() -> Trace) {
    let Some(file) = std::env::var_os("THREADBARE_TRACE_FILE") else {
        return;
    };
    let mut file = PathBuf::from(file);
    if number > 0 {
        file.as_mut_os_string().push(format!(".{number}"));
    }
    let write = |file: &Path| trace().write_chrome(&mut File::create(file)?);
    match write(&file) {
        Ok(()) => crate::fatal::tell(format_args!("trace: see {}", file.display())),
        Err(error) => crate::fatal::tell(format_args!(
            "trace: cannot write {}: {error}; see THREADBARE_TRACE_FILE",
            file.display()
        )),
    }
}
