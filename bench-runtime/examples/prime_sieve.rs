//! The prime sieve of the Go tutorials: a chain of goroutines, each of which
//! passes on numbers that its prime does not divide.
//!
//! `cargo run --release --example prime_sieve -- 1000`

use bench_runtime::{Receiver, Runtime, Sender, chan, go};

/// Sends 2, 3, 4, … until the receiver is dropped.
fn generate(to: &Sender<u32>) {
    for n in 2.. {
        if to.send(n).is_err() {
            return;
        }
    }
}

fn filter(from: &Receiver<u32>, to: &Sender<u32>, prime: u32) {
    for n in from {
        if n % prime != 0 && to.send(n).is_err() {
            return;
        }
    }
}

pub(crate) fn primes(count: usize) -> Vec<u32> {
    let (tx, mut rx) = chan(0);
    go!(generate(&tx));
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        let prime = rx.recv().expect("numbers never end");
        found.push(prime);
        let (tx, next) = chan(0);
        let from = std::mem::replace(&mut rx, next);
        go!(filter(&from, &tx, prime));
    }
    found
}

fn main() -> std::io::Result<()> {
    let count = std::env::args().nth(1).map_or(25, |arg| {
        arg.parse()
            .expect("the argument is how many primes to find")
    });
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    for prime in unsafe { Runtime::builder().build() }?.run(move || primes(count)) {
        println!("{prime}");
    }
    Ok(())
}
