use std::fs;

/// The mappings of a thread: its stack, its signal stack, and a guard for each.
const OF_THREAD: u64 = 4;
const OF_COROUTINE: u64 = 2;
/// Mappings left for the heap, libraries and files.
const LEFT: u64 = 4_096;

pub(crate) const LIMIT: &str = "vm.max_map_count";

/// `None` if `/proc` does not show the limit.
pub(crate) fn most_threads() -> Option<u64> {
    Some(room(most()?, OF_THREAD))
}

pub(crate) fn most_coroutines() -> Option<u64> {
    Some(room(most()?, OF_COROUTINE))
}

fn most() -> Option<u64> {
    let most = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
    most.trim().parse().ok()
}

fn room(mappings: u64, each: u64) -> u64 {
    mappings.saturating_sub(LEFT) / each
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_limit_has_room_for_fifteen_thousand_threads() {
        assert_eq!(room(65_530, OF_THREAD), 15_358);
        assert_eq!(room(65_530, OF_COROUTINE), 30_717);
        assert_eq!(room(100, OF_THREAD), 0);
        assert!(most_threads().expect("/proc is mounted") > 0);
    }
}
