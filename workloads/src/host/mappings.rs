//! The limit of memory mappings.

use std::fs;
use std::io::{self, BufRead, BufReader};

/// How many more mappings the kernel lets this process have; `None` where
/// `/proc` does not tell. Takes a moment for each mapping there is.
pub(crate) fn left() -> Option<u64> {
    let most = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
    let most: u64 = most.trim().parse().ok()?;
    Some(most.saturating_sub(count().ok()?))
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
    fn a_new_mapping_is_counted() {
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
