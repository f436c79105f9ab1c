//! Skynet: a goroutine starts ten, each of these ten more, and so on to a million leaves, whose
//! numbers are added on the way back.
//!
//! `cargo run --release --example skynet`

use bench_runtime::{Runtime, Sender, chan, go};

/// Sends the sum of the `size` numbers from `first` on.
fn skynet(up: &Sender<u64>, first: u64, size: u64) {
    if size == 1 {
        up.send(first).expect("the parent waits");
        return;
    }
    let (tx, sums) = chan(0);
    let share = size / 10;
    for child in 0..10 {
        let tx = tx.clone();
        go!(skynet(&tx, first + child * share, share));
    }
    drop(tx);
    up.send(sums.iter().sum()).expect("the parent waits");
}

/// The sum of the numbers below `leaves`, a power of ten.
pub(crate) fn run(leaves: u64) -> u64 {
    let (tx, rx) = chan(0);
    go!(skynet(&tx, 0, leaves));
    rx.recv().expect("the root sends one sum")
}

fn main() -> std::io::Result<()> {
    let begin = std::time::Instant::now();
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    let sum = unsafe { Runtime::builder().build() }?.run(|| run(1_000_000));
    println!("{sum} in {:?}", begin.elapsed());
    Ok(())
}
