//! Fan-in: the values of two goroutines arrive in one channel. Ends if the channel is silent for
//! too long. After "Go Concurrency Patterns" by R. Pike.
//!
//! `cargo run --release --example fan_in`

use std::time::Duration;

use bench_runtime::{Receiver, Runtime, chan, go, select, time};

/// Sends its name and a number repeatedly, with pauses.
fn boring(name: &'static str, pause: Duration) -> Receiver<String> {
    let (tx, rx) = chan(0);
    go! {
        for n in 0.. {
            if tx.send(format!("{name} {n}")).is_err() {
                return;
            }
            time::sleep(pause);
        }
    }
    rx
}

fn fan_in(a: Receiver<String>, b: Receiver<String>) -> Receiver<String> {
    let (tx, rx) = chan(0);
    go! {
        loop {
            let text = select! {
                recv(a) -> text => text,
                recv(b) -> text => text,
            };
            let Some(text) = text else { return };
            if tx.send(text).is_err() {
                return;
            }
        }
    }
    rx
}

/// The first `lines` lines; fewer if both goroutines are silent for too long.
pub(crate) fn listen(lines: usize) -> Vec<String> {
    let moment = Duration::from_millis(1);
    let talk = fan_in(boring("Joe", moment), boring("Ann", moment * 2));
    let mut heard = Vec::new();
    while heard.len() < lines {
        select! {
            recv(talk) -> text => heard.extend(text),
            timeout(Duration::from_secs(10)) => break,
        }
    }
    heard
}

fn main() -> std::io::Result<()> {
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    for line in unsafe { Runtime::builder().build() }?.run(|| listen(10)) {
        println!("{line}");
    }
    Ok(())
}
