//! Closing: by a call, and by dropping all ends of one side.

use bench_runtime::{
    Receiver, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError, TrySendError,
    chan,
};
use std::time::Duration;

use crate::support::everywhere;

#[test]
fn recv_on_a_closed_channel_drains_it_then_returns_none() {
    everywhere(|_| {
        for capacity in [1, 10, 100] {
            let (tx, rx) = chan(capacity);
            for n in 0..capacity {
                tx.send(n).unwrap();
            }
            assert!(tx.close());
            for n in 0..capacity {
                assert_eq!(rx.recv(), Some(n));
            }
            assert_eq!(rx.recv(), None);
            assert_eq!(rx.recv(), None);
            assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
            assert_eq!(
                rx.recv_timeout(Duration::from_secs(9)),
                Err(RecvTimeoutError::Closed)
            );
        }
    });
}

#[test]
fn close_wakes_every_waiting_receiver() {
    everywhere(|way| {
        let (tx, rx) = chan::<u8>(0);
        let receivers: Vec<_> = (0..5)
            .map(|_| {
                let rx = rx.clone();
                way.go(move || rx.recv())
            })
            .collect();
        way.let_others_run();
        tx.close();
        for receiver in receivers {
            assert_eq!(receiver.join(), None);
        }
    });
}

#[test]
fn close_gives_every_waiting_sender_its_value_back() {
    everywhere(|way| {
        let (tx, rx) = chan(1);
        tx.send(100).unwrap();
        let senders: Vec<_> = (0..5)
            .map(|n| {
                let tx = tx.clone();
                way.go(move || tx.send(n))
            })
            .collect();
        way.let_others_run();
        tx.close();
        for (n, sender) in senders.into_iter().enumerate() {
            assert_eq!(sender.join(), Err(SendError(n)));
        }
        assert_eq!(rx.iter().collect::<Vec<_>>(), [100]);
    });
}

#[test]
fn every_form_of_send_on_a_closed_channel_fails() {
    everywhere(|_| {
        let (tx, _rx) = chan(1);
        tx.close();
        assert_eq!(tx.send(1), Err(SendError(1)));
        assert_eq!(tx.try_send(2), Err(TrySendError::Closed(2)));
        assert_eq!(
            tx.send_timeout(3, Duration::from_secs(9)),
            Err(SendTimeoutError::Closed(3))
        );
    });
}

#[test]
fn a_second_close_returns_false() {
    everywhere(|_| {
        let (tx, rx) = chan::<()>(0);
        let twin = tx.clone();
        assert!(!rx.is_closed());
        assert!(tx.close());
        assert!(!twin.close());
        assert!(rx.is_closed() && tx.is_closed());
    });
}

#[test]
fn dropping_the_last_sender_closes() {
    everywhere(|way| {
        let (tx, rx) = chan(1);
        let twin = tx.clone();
        tx.send(1).unwrap();
        drop(tx);
        assert!(!rx.is_closed());
        let receiver = way.go(move || (rx.recv(), rx.recv()));
        way.let_others_run();
        drop(twin);
        assert_eq!(receiver.join(), (Some(1), None));
    });
}

#[test]
fn dropping_the_last_receiver_closes() {
    everywhere(|way| {
        let (tx, rx) = chan(0);
        let twin = rx.clone();
        drop(rx);
        assert!(!tx.is_closed());
        let sender = way.go(move || tx.send(1));
        way.let_others_run();
        drop(twin);
        assert_eq!(sender.join(), Err(SendError(1)));
    });
}

#[test]
fn a_nil_channel_is_never_ready_and_never_closed() {
    everywhere(|_| {
        let moment = Duration::from_millis(2);
        let rx = Receiver::<u8>::never();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(rx.recv_timeout(moment), Err(RecvTimeoutError::Timeout));
        assert_eq!((rx.len(), rx.capacity(), rx.is_closed()), (0, 0, false));
        let tx = Sender::never();
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(
            tx.send_timeout(1, moment),
            Err(SendTimeoutError::Timeout(1))
        );
        assert!(!tx.close());
        assert!(!tx.same_channel(&tx.clone()));
    });
}

#[test]
fn try_recv_racing_a_close_sees_the_value_or_the_close() {
    everywhere(|way| {
        for _ in 0..2_000 {
            let (tx, rx) = chan(1);
            tx.send(1).unwrap();
            let closer = way.go(move || tx.close());
            assert_eq!(rx.try_recv(), Ok(1));
            assert!(closer.join());
            assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
        }
    });
}

#[test]
fn each_message_is_seen_once_at_each_buffer_size() {
    everywhere(|way| {
        for capacity in [0, 1, 10, 100] {
            let (tx, rx) = chan(capacity);
            let sender = way.go(move || {
                for n in 0..500 {
                    tx.send(n).unwrap();
                }
                tx.close();
            });
            let mut times = [0; 500];
            for n in rx {
                let seen: &mut i32 = &mut times[n];
                *seen += 1;
            }
            assert!(times.iter().all(|&n| n == 1));
            sender.join();
        }
    });
}
