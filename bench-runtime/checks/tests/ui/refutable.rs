//! The pattern of a case must match every value: one that does not match would
//! be lost, and another arm would run.

use bench_runtime::{chan, select};
use std::time::Duration;

fn main() {
    let (tx, rx) = chan::<Option<u32>>(1);
    tx.send(None).unwrap();
    select! {
        recv(rx) -> Some(Some(n)) => println!("{n}"),
        timeout(Duration::from_secs(3_600)) => panic!("an hour has not passed"),
    }
}
