//! The lanes in Rust. A lane imports no other lane, except that the pools run `service.http` on the
//! tasks of the lane of threads or of processes.

#[cfg(feature = "peers")]
mod compio;
#[cfg(feature = "peers")]
mod corosensei;
mod listener;
#[cfg(feature = "peers")]
mod may;
mod process;
mod process_pool;
mod process_spawn;
mod queue;
mod rayon;
#[cfg(feature = "peers")]
mod smol;
mod thread;
mod thread_pool;
mod threadbare;
mod tokio;

use crate::lane::Entry;

/// All lanes in Rust, in the order of the report.
pub const ALL: &[Entry] = &[
    threadbare::DEFAULT,
    threadbare::MIGRATING,
    threadbare::FIXED,
    threadbare::COMPACTED,
    thread::DEFAULT,
    thread::SMALL_STACK,
    #[cfg(feature = "peers")]
    thread::CROSSBEAM,
    thread_pool::QUEUE,
    process::FORK,
    process_spawn::EXECUTE,
    process_pool::PREFORK,
    tokio::MULTI_THREAD,
    tokio::CURRENT_THREAD,
    #[cfg(feature = "peers")]
    tokio::MULTI_THREAD_MIMALLOC,
    #[cfg(feature = "peers")]
    tokio::CURRENT_THREAD_MIMALLOC,
    rayon::SCOPE,
    rayon::JOIN,
    #[cfg(feature = "peers")]
    may::COROUTINES,
    #[cfg(feature = "peers")]
    smol::EXECUTOR,
    #[cfg(feature = "peers")]
    compio::RUNTIMES,
    #[cfg(feature = "peers")]
    corosensei::BARE,
];

/// The lane of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

fn locked_version(library: &str) -> &'static str {
    let lock = include_str!("../../../Cargo.lock");
    let mut lines = lock.lines().skip_while(|line| {
        line.strip_prefix("name = ")
            .is_none_or(|name| name.trim_matches('"') != library)
    });
    lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = "))
        .map_or("of unknown version", |version| version.trim_matches('"'))
}

fn kernel_version() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_plain() {
        for (index, entry) in ALL.iter().enumerate() {
            assert!(
                entry
                    .name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{}",
                entry.name
            );
            assert!(
                ALL[..index].iter().all(|other| other.name != entry.name),
                "{} is there twice",
                entry.name
            );
        }
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        assert!(locked_version("tokio").starts_with("1."));
        assert_eq!(locked_version("no-such-library"), "of unknown version");
    }
}
