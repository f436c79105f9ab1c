//! The two ends of a channel are two types: each has only its own methods.

use bench_runtime::chan;

fn main() {
    let (tx, rx) = chan::<u8>(0);
    rx.send(1);
    rx.close();
    tx.recv();
    for _ in tx {}
}
