//! A channel's type is the same at both ends: a short-lived reference cannot be
//! sent and received as a long-lived one.

use bench_runtime::{Receiver, Sender, chan};

fn shorten<'a>(tx: Sender<&'static str>) -> Sender<&'a str> {
    tx
}

fn main() {
    let (tx, rx): (Sender<&'static str>, Receiver<&'static str>) = chan(1);
    let tx = shorten(tx);
    {
        let text = String::from("gone");
        let _ = tx.send(&text);
    }
    println!("{:?}", rx.recv());
}
