//! The error for a `recv` case tells what to write for a context or a ticker.

use bench_runtime::context::Context;
use bench_runtime::select;
use bench_runtime::time::Ticker;

fn main() {
    let ctx = Context::background();
    let ticker = Ticker::new(std::time::Duration::from_secs(1));
    select! {
        recv(ctx) => {}
        recv(ticker) => {}
    }
}
