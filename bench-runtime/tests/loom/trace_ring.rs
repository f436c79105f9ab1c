//! The ring of the flight recorder: a reader beside the writer gets whole records, in order, and
//! the number of those that it missed.

use crate::trace_ring_source::Ring;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;

const LEN: u64 = 2;

fn record(n: u64) -> [u64; 2] {
    [2 * n + 1, 2 * n + 2]
}

/// Another thread writes more than the ring has room for.
fn read_beside_a_writer(read: impl Fn(&Ring) -> (u64, Vec<[u64; 2]>)) {
    let words = (0..2 * LEN).map(|_| AtomicU64::new(0));
    let ring = Arc::new(Ring::new(words.collect()));
    ring.push(record(0));
    let writer = loom::thread::spawn({
        let ring = ring.clone();
        move || (1..4).for_each(|n| ring.push(record(n)))
    });
    for (lost_count, records) in [read(&ring), {
        writer.join().unwrap();
        read(&ring)
    }] {
        for (n, found) in (lost_count..).zip(records) {
            assert_eq!(found, record(n));
        }
    }
    // The place of the next record counts as overwritten.
    assert_eq!((ring.read().lost_count, ring.read().records.len()), (3, 1));
}

#[test]
fn reader_gets_whole_records_in_their_order() {
    loom::model(|| {
        read_beside_a_writer(|ring| {
            let found = ring.read();
            (found.lost_count, found.records)
        });
    });
}

#[test]
#[should_panic(expected = "left == right")]
fn canary_reader_that_does_not_check_again() {
    loom::model(|| read_beside_a_writer(Ring::copy));
}
