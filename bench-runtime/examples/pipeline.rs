//! A pipeline: each stage is a goroutine between two channels. A context can end all of them early.
//!
//! `cargo run --release --example pipeline`

use bench_runtime::context::Context;
use bench_runtime::{Receiver, Runtime, chan, go, select};

/// Ends when its input ends, or at its next value after its receiver or the context has ended.
fn stage<A, B>(
    ctx: &Context,
    input: Receiver<A>,
    f: impl Fn(A) -> B + Send + 'static,
) -> Receiver<B>
where
    A: Send + 'static,
    B: Send + 'static,
{
    let (tx, output) = chan(0);
    let ctx = ctx.clone();
    go! {
        for value in input {
            select! {
                send(tx, f(value)) -> sent => if sent.is_err() { return },
                recv(ctx.done()) => return,
            }
        }
    }
    output
}

fn count(ctx: &Context) -> Receiver<u64> {
    let (tx, output) = chan(0);
    let ctx = ctx.clone();
    go! {
        for n in 1.. {
            select! {
                send(tx, n) -> sent => if sent.is_err() { return },
                recv(ctx.done()) => return,
            }
        }
    }
    output
}

/// The first `many` squares plus one, as text.
pub(crate) fn squares(many: usize) -> Vec<String> {
    let (ctx, cancel) = Context::background().with_cancel();
    let _cancel = cancel.on_drop();
    let squares = stage(&ctx, count(&ctx), |n| n * n);
    let larger = stage(&ctx, squares, |n| n + 1);
    let texts = stage(&ctx, larger, |n| format!("<{n}>"));
    texts.iter().take(many).collect()
}

fn main() -> std::io::Result<()> {
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    for text in unsafe { Runtime::builder().build() }?.run(|| squares(10)) {
        println!("{text}");
    }
    Ok(())
}
