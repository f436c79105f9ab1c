//! Sending and receiving on one channel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bench_runtime::{SendError, TryRecvError, TrySendError, chan};

use crate::support::everywhere;

#[test]
fn recv_on_an_empty_channel_blocks_until_a_send() {
    everywhere(|way| {
        for capacity in [0, 1, 7] {
            let (tx, rx) = chan(capacity);
            let got = Arc::new(AtomicBool::new(false));
            let flag = got.clone();
            let receiver = way.go(move || {
                let value = rx.recv();
                flag.store(true, Ordering::Relaxed);
                value
            });
            way.let_others_run();
            assert!(!got.load(Ordering::Relaxed));
            tx.send(5).unwrap();
            assert_eq!(receiver.join(), Some(5));
        }
    });
}

#[test]
fn send_on_a_full_channel_blocks_until_a_recv() {
    everywhere(|way| {
        for capacity in [0, 1, 7] {
            let (tx, rx) = chan(capacity);
            for n in 0..capacity {
                tx.send(n).unwrap();
            }
            let sent = Arc::new(AtomicBool::new(false));
            let flag = sent.clone();
            let sender = way.go(move || {
                tx.send(capacity).unwrap();
                flag.store(true, Ordering::Relaxed);
            });
            way.let_others_run();
            assert!(!sent.load(Ordering::Relaxed));
            for n in 0..=capacity {
                assert_eq!(rx.recv(), Some(n));
            }
            sender.join();
        }
    });
}

#[test]
fn try_forms_on_an_empty_or_full_channel_do_not_block() {
    everywhere(|_| {
        for capacity in [0, 1, 7] {
            let (tx, rx) = chan(capacity);
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            for n in 0..capacity {
                assert_eq!(tx.try_send(n), Ok(()));
            }
            assert_eq!(tx.try_send(99), Err(TrySendError::Full(99)));
            for n in 0..capacity {
                assert_eq!(rx.try_recv(), Ok(n));
            }
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        }
    });
}

fn try_forms_meet_a_parked_partner<T: Send + Clone + PartialEq + std::fmt::Debug + 'static>(
    way: crate::support::Way,
    value: T,
) {
    for capacity in [0, 1] {
        let (tx, rx) = chan::<T>(capacity);
        let receiver = way.go(move || rx.recv());
        way.until(|| tx.try_send(value.clone()).is_ok());
        assert_eq!(receiver.join(), Some(value.clone()));

        let (tx, rx) = chan::<T>(capacity);
        let moved = value.clone();
        let sender = way.go(move || tx.send(moved));
        let mut got = None;
        way.until(|| {
            got = rx.try_recv().ok();
            got.is_some()
        });
        assert_eq!(got, Some(value.clone()));
        sender.join().unwrap();
    }
}

#[test]
fn try_forms_over_four_element_types_meet_a_parked_partner() {
    everywhere(|way| {
        try_forms_meet_a_parked_partner(way, 7_i32);
        try_forms_meet_a_parked_partner(way, "text".to_owned());
        try_forms_meet_a_parked_partner(way, [1_u64; 40]);
        try_forms_meet_a_parked_partner(way, ());
    });
}

#[test]
fn values_come_out_in_the_order_they_went_in() {
    everywhere(|way| {
        for capacity in [0, 1, 3, 64] {
            let (tx, rx) = chan(capacity);
            let sender = way.go(move || {
                for n in 0..1_000 {
                    tx.send(n).unwrap();
                }
            });
            assert!(rx.iter().eq(0..1_000));
            sender.join();
        }
    });
}

#[test]
fn four_senders_and_four_receivers_lose_nothing() {
    everywhere(|way| {
        const EACH: usize = 2_000;
        for capacity in [0, 1, 10, 100] {
            let (tx, rx) = chan(capacity);
            let senders: Vec<_> = (0..4)
                .map(|s| {
                    let tx = tx.clone();
                    way.go(move || (0..EACH).for_each(|n| tx.send(s * EACH + n).unwrap()))
                })
                .collect();
            drop(tx);
            let receivers: Vec<_> = (0..4)
                .map(|_| {
                    let rx = rx.clone();
                    way.go(move || rx.iter().collect::<Vec<_>>())
                })
                .collect();
            for sender in senders {
                sender.join();
            }
            let mut seen: Vec<_> = receivers.into_iter().flat_map(|r| r.join()).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..4 * EACH));
        }
    });
}

#[test]
fn twenty_three_workers_pass_on_271828_items() {
    everywhere(|way| {
        const WORKERS: usize = 23;
        const ITEMS: u64 = 271_828;
        let (jobs, queue) = chan(WORKERS);
        let (results, answers) = chan(WORKERS);
        for _ in 0..WORKERS {
            let (queue, results) = (queue.clone(), results.clone());
            way.go(move || queue.iter().for_each(|n: u64| results.send(n).unwrap()));
        }
        drop((queue, results));
        let feeder = way.go(move || (1..=ITEMS).for_each(|n| jobs.send(n).unwrap()));
        let (count, sum) = answers.iter().fold((0, 0), |(c, s), n| (c + 1, s + n));
        feeder.join();
        assert_eq!((count, sum), (ITEMS, ITEMS * (ITEMS + 1) / 2));
    });
}

#[test]
fn len_and_capacity_are_exact() {
    everywhere(|way| {
        let (tx, rx) = chan(3);
        assert_eq!((tx.capacity(), rx.capacity(), rx.len()), (3, 3, 0));
        for n in 1..=3 {
            tx.send(n).unwrap();
            assert_eq!((tx.len(), rx.len()), (n, n));
        }
        let waiting = tx.clone();
        let sender = way.go(move || waiting.send(4));
        way.let_others_run();
        assert_eq!(rx.len(), 3);
        rx.recv();
        sender.join().unwrap();
        assert_eq!(rx.len(), 3);
        let (tx, rx) = chan::<u8>(0);
        assert_eq!((tx.capacity(), rx.len(), rx.is_empty()), (0, 0, true));
    });
}

#[test]
fn writes_before_a_send_are_seen_after_its_recv() {
    everywhere(|way| {
        for capacity in [0, 1] {
            for round in 1..200 {
                let (tx, rx) = chan(capacity);
                let data = Arc::new(AtomicUsize::new(0));
                let theirs = data.clone();
                let sender = way.go(move || {
                    theirs.store(round, Ordering::Relaxed);
                    tx.send(()).unwrap();
                });
                rx.recv().unwrap();
                assert_eq!(data.load(Ordering::Relaxed), round);
                sender.join();
            }
        }
    });
}

#[test]
fn a_rendezvous_send_ends_only_after_its_recv_began() {
    everywhere(|way| {
        let (tx, rx) = chan(0);
        for round in 0..200 {
            let data = Arc::new(AtomicUsize::new(0));
            let (theirs, rx) = (data.clone(), rx.clone());
            let receiver = way.go(move || {
                theirs.store(round, Ordering::Relaxed);
                rx.recv()
            });
            tx.send(()).unwrap();
            assert_eq!(data.load(Ordering::Relaxed), round);
            receiver.join();
        }
    });
}

#[test]
fn a_daisy_chain_adds_one_at_each_link() {
    everywhere(|way| {
        let links = way.count(100, 10_000);
        let (first, mut end) = chan::<usize>(0);
        let mut tasks = Vec::new();
        for _ in 0..links {
            let (tx, rx) = chan(0);
            let from = std::mem::replace(&mut end, rx);
            tasks.push(way.go(move || {
                for n in &from {
                    tx.send(n + 1).unwrap();
                }
            }));
        }
        let feeder = way.go(move || (0..3).for_each(|n| first.send(n * 1_000_000).unwrap()));
        let got: Vec<_> = end.iter().collect();
        assert_eq!(got, [links, 1_000_000 + links, 2_000_000 + links]);
        feeder.join();
        tasks.into_iter().for_each(|task| task.join());
    });
}

#[test]
fn zero_sized_values_are_counted() {
    everywhere(|way| {
        let (tx, rx) = chan::<()>(1_000_000);
        for _ in 0..1_000 {
            tx.send(()).unwrap();
        }
        assert_eq!(rx.len(), 1_000);
        let (tx0, rx0) = chan::<()>(0);
        let sender = way.go(move || (0..100).for_each(|_| tx0.send(()).unwrap()));
        assert_eq!(rx0.iter().count(), 100);
        sender.join();
    });
}

#[test]
fn over_aligned_values_stay_aligned() {
    #[derive(Debug, PartialEq, Clone, Copy)]
    #[repr(align(256))]
    struct Wide(u8);
    everywhere(|_| {
        let (tx, rx) = chan(3);
        for n in 0..3 {
            tx.send(Wide(n)).unwrap();
        }
        for n in 0..3 {
            assert_eq!(rx.recv(), Some(Wide(n)));
        }
    });
}

#[test]
fn a_failed_send_gives_the_value_back() {
    everywhere(|way| {
        let (tx, rx) = chan(0);
        let sender = way.go(move || tx.send("back".to_owned()));
        way.let_others_run();
        drop(rx);
        assert_eq!(sender.join(), Err(SendError("back".to_owned())));
    });
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn every_value_is_dropped_once() {
    everywhere(|way| {
        let drops = Arc::new(AtomicUsize::new(0));
        for capacity in [0, 4] {
            drops.store(0, Ordering::Relaxed);
            let (tx, rx) = chan(capacity);
            let counter = drops.clone();
            let sender = way.go(move || {
                (0..10)
                    .filter(|_| tx.send(Counted(counter.clone())).is_ok())
                    .count()
            });
            for _ in 0..3 {
                rx.recv();
            }
            drop(rx);
            let sent = sender.join();
            assert!((3..=3 + capacity).contains(&sent), "{sent} were sent");
            assert_eq!(drops.load(Ordering::Relaxed), 10);
        }
    });
}

#[test]
fn buffered_values_are_dropped_with_the_last_receiver() {
    everywhere(|_| {
        let drops = Arc::new(AtomicUsize::new(0));
        let (tx, rx) = chan(4);
        for _ in 0..3 {
            assert!(tx.send(Counted(drops.clone())).is_ok());
        }
        let twin = rx.clone();
        drop(rx);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(twin);
        assert_eq!(drops.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn a_channel_of_channels_carries_replies() {
    everywhere(|way| {
        let (requests, server) = chan::<(u32, bench_runtime::Sender<u32>)>(0);
        let task = way.go(move || {
            for (n, reply) in &server {
                reply.send(n * n).unwrap();
            }
        });
        for n in 0..50 {
            let (reply, answer) = chan(0);
            requests.send((n, reply)).unwrap();
            assert_eq!(answer.recv(), Some(n * n));
        }
        drop(requests);
        task.join();
    });
}
