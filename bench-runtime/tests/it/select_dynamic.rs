//! Selects whose cases are added at run time.

use std::time::Duration;

use bench_runtime::{Receiver, Select, Sender, Slot, chan};

use crate::support::everywhere;

#[test]
fn the_case_that_is_ready_is_taken_among_any_number() {
    everywhere(|way| {
        for cases in [1, 2, 7, 8, 9, 64, 300] {
            let (tx, rx): (Vec<Sender<usize>>, Vec<Receiver<usize>>) =
                (0..cases).map(|_| chan(0)).unzip();
            let task = way.go(move || {
                let slot = Slot::empty();
                let mut select = Select::with_capacity(cases);
                for rx in &rx {
                    select.recv(rx, &slot);
                }
                (0..cases)
                    .map(|_| (select.wait().index(), slot.take()))
                    .collect::<Vec<_>>()
            });
            for (n, tx) in tx.iter().enumerate().rev() {
                tx.send(n * 10).unwrap();
            }
            let expected = (0..cases).rev().map(|n| (n, Some(n * 10)));
            assert!(task.join().into_iter().eq(expected));
        }
    });
}

#[test]
fn a_sent_slot_is_empty_and_its_case_disabled() {
    everywhere(|_| {
        let (tx, rx) = chan(5);
        let slot = Slot::with("value");
        let mut select = Select::new();
        let send = select.send(&tx, &slot);
        let selected = select.try_wait().unwrap();
        assert_eq!((selected.index(), selected.is_closed()), (send, false));
        assert!(!slot.is_full());
        assert_eq!(select.try_wait(), None);
        slot.put("again");
        assert!(select.try_wait().is_some());
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), ["value", "again"]);
    });
}

#[test]
fn a_closed_channel_reports_it_and_moves_nothing() {
    everywhere(|_| {
        let (tx, rx) = chan::<u8>(0);
        tx.close();
        let (to_send, received) = (Slot::with(1), Slot::empty());
        let mut select = Select::new();
        select.send(&tx, &to_send);
        assert!(select.wait().is_closed());
        assert_eq!(to_send.take(), Some(1));
        let mut select = Select::new();
        select.recv(&rx, &received);
        assert!(select.wait().is_closed());
        assert_eq!(received.take(), None);
    });
}

#[test]
fn a_select_without_an_enabled_case_times_out() {
    everywhere(|_| {
        let slot = Slot::<u8>::empty();
        let never = Receiver::never();
        let mut select = Select::new();
        select.recv(&never, &slot);
        select.recv(&None::<Receiver<u8>>, &slot);
        assert_eq!(select.wait_timeout(Duration::from_millis(2)), None);
        assert_eq!(select.len(), 2);
    });
}

#[test]
fn values_left_in_slots_are_dropped() {
    everywhere(|_| {
        let value = std::sync::Arc::new(());
        let (tx, rx) = chan(1);
        tx.send(value.clone()).unwrap();
        let slot = Slot::empty();
        let mut select = Select::new();
        select.recv(&rx, &slot);
        select.wait();
        assert_eq!(std::sync::Arc::strong_count(&value), 2);
        drop(slot);
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    });
}
