use std::fs;

/// The mappings of a thread: its stack, its signal stack, and a guard for each.
const PER_THREAD: u64 = 4;
const PER_COROUTINE: u64 = 2;
/// Mappings left for the heap, libraries and files.
const RESERVED: u64 = 4_096;

pub(crate) const LIMIT: &str = "vm.max_map_count";

/// `None` if `/proc` does not show the limit.
pub(crate) fn most_threads() -> Option<u64> {
    Some(tasks_within(most()?, PER_THREAD))
}

pub(crate) fn most_coroutines() -> Option<u64> {
    Some(tasks_within(most()?, PER_COROUTINE))
}

fn most() -> Option<u64> {
    let most = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
    most.trim().parse().ok()
}

fn tasks_within(mappings: u64, each: u64) -> u64 {
    mappings.saturating_sub(RESERVED) / each
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_limit_has_room_for_fifteen_thousand_threads() {
        assert_eq!(tasks_within(65_530, PER_THREAD), 15_358);
        assert_eq!(tasks_within(65_530, PER_COROUTINE), 30_717);
        assert_eq!(tasks_within(100, PER_THREAD), 0);
        assert!(most_threads().expect("/proc is mounted") > 0);
    }
}
