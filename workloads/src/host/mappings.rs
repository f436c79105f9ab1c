//! The limit of memory mappings.

use std::fs;

/// What a thread has at most: its stack, its signal stack, a guard for each.
const OF_THREAD: u64 = 4;
/// What is left for the heap, libraries and files.
const LEFT: u64 = 4_096;

/// How many threads there is room for in this process; `None` where `/proc` does
/// not tell.
pub(crate) fn most_threads() -> Option<u64> {
    let most = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
    Some(threads_in(most.trim().parse().ok()?))
}

fn threads_in(mappings: u64) -> u64 {
    mappings.saturating_sub(LEFT) / OF_THREAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_limit_has_room_for_fifteen_thousand_threads() {
        assert_eq!(threads_in(65_530), 15_358);
        assert_eq!(threads_in(100), 0);
        assert!(most_threads().expect("/proc is mounted") > 0);
    }
}
