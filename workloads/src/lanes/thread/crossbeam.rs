//! Threads that share data by crossbeam's channels, which have `select`.

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::{Channel, DEFAULT, Threads};
use crate::catalogue::Shape;
use crate::lane::{Entry, OrThrow};

pub(in crate::lanes) const CROSSBEAM: Entry = Entry {
    name: "thread-crossbeam",
    noun: "thread with crossbeam channels",
    title: "OS threads with crossbeam's channels",
    runtime: || {
        let version = crate::lanes::locked_version("crossbeam-channel");
        format!("crossbeam-channel {version}")
    },
    refuses: |workload| match workload.shape {
        Shape::Select => None,
        _ => (DEFAULT.refuses)(workload),
    },
    start: |_| Ok(Threads::<(Sender<u64>, Receiver<u64>)>::start(None)),
    ..DEFAULT
};

impl Channel for (Sender<u64>, Receiver<u64>) {
    fn new(capacity: usize) -> Self {
        bounded(capacity)
    }

    fn send(&self, number: u64) {
        self.0.send(number).or_throw("sending");
    }

    fn recv(&self) -> u64 {
        self.1.recv().or_throw("receiving")
    }

    fn recv_either([one, other]: &[Self; 2]) -> u64 {
        let number = select! {
            recv(one.1) -> number => number,
            recv(other.1) -> number => number,
        };
        number.or_throw("receiving")
    }
}
