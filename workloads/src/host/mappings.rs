//! The limit of memory mappings.

use std::fs;
use std::io::{self, BufRead, BufReader};

use super::proc_file::ProcFile;

/// What a thread has at most: its stack, its signal stack, a guard for each.
pub(crate) const OF_THREAD: u64 = 4;
/// What a process has beside its threads, at most.
const OF_PROCESS: u64 = 256;

/// How many more mappings the kernel lets this process have; `None` where
/// `/proc` does not tell. Takes a moment for each mapping there is.
pub(crate) fn left() -> Option<u64> {
    let most = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
    let most: u64 = most.trim().parse().ok()?;
    let threads = ProcFile::read("/proc/self/status").ok()?.number("Threads");
    Some(most.saturating_sub(in_use(count().ok()?, threads.unsigned_abs())))
}

/// A thread maps its signal stack when it first runs: on a loaded host thousands
/// have started and have not.
fn in_use(counted: u64, threads: u64) -> u64 {
    counted.max(threads * OF_THREAD + OF_PROCESS)
}

fn count() -> io::Result<u64> {
    let mut maps = BufReader::with_capacity(1 << 16, fs::File::open("/proc/self/maps")?);
    let mut count = 0;
    while maps.skip_until(b'\n')? > 0 {
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_have_not_run_yet_are_counted_in_full() {
        assert_eq!(in_use(50_000, 15_000), 60_256);
        assert_eq!(in_use(62_000, 15_000), 62_000);
    }

    #[test]
    fn new_threads_take_mappings() {
        // A thread's stack and its guard are two.
        let before = left().expect("/proc is mounted");
        let gate = std::sync::Arc::new(std::sync::Barrier::new(101));
        let threads: Vec<_> = (0..100)
            .map(|_| {
                let gate = gate.clone();
                std::thread::spawn(move || {
                    gate.wait();
                    gate.wait();
                })
            })
            .collect();
        gate.wait();
        let during = left().expect("/proc is mounted");
        gate.wait();
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("it does not panic"));
        assert!(during + 100 <= before, "{during} left of {before}");
    }
}
