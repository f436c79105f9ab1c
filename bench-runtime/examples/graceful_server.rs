//! A graceful server: at SIGTERM or Ctrl-C it accepts no more connections, answers the requests
//! that it has received, and stops after a time limit.
//!
//! `cargo run --release --example graceful_server -- 127.0.0.1:8000`, then `nc 127.0.0.1 8000`;
//! type numbers of milliseconds there, and Ctrl-C at the server.

use std::io::{self, BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench_runtime::context::Context;
use bench_runtime::net::{TcpListener, TcpStream};
use bench_runtime::signal::{self, Signal, Signals};
use bench_runtime::sync::WaitGroup;
use bench_runtime::{Runtime, go, time};

/// Each line is a number of milliseconds. Answers it at once, and again after that time.
fn answer(stream: &TcpStream) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let ms = line?.trim().parse().unwrap_or(0);
        writeln!(&*stream, "{ms} ms begin")?;
        time::sleep(Duration::from_millis(ms));
        writeln!(&*stream, "{ms} ms have passed")?;
    }
    Ok(())
}

/// Serves until a signal arrives, and then for at most `grace`, or until a second signal ends the
/// program. Returns true if no connection is left.
///
/// # Errors
///
/// When the listener cannot be closed.
pub(crate) fn serve(listener: TcpListener, signals: Signals, grace: Duration) -> io::Result<bool> {
    let listener = Arc::new(listener);
    let (ctx, cancel) = Context::background().with_cancel();
    let (acceptor, connections) = (listener.clone(), WaitGroup::new());
    let group = connections.clone();
    let accepting = go(move || {
        // Ends when the listener is closed. Ignores failures, such as a peer that has left.
        for stream in acceptor.incoming().flatten() {
            let stream = Arc::new(stream);
            let ctx = ctx.clone();
            group.go(move || {
                // At the end of the context it reads no more requests, and answers those that it
                // has read.
                let theirs = stream.clone();
                let end = ctx.after_func(move || theirs.set_read_deadline(Some(Instant::now())));
                // Without `catch_unwind` the wait for the group would panic if `answer` did.
                let _ = catch_unwind(AssertUnwindSafe(|| answer(&stream)));
                end.stop();
            });
        }
    });
    signals.recv();
    // A second signal has its default action: it ends the program.
    drop(signals);
    listener.close()?;
    accepting.join().expect("it does not panic");
    cancel.cancel();
    Ok(connections.wait_timeout(grace))
}

fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    unsafe { Runtime::builder().build() }?.run(move || {
        let signals = signal::notify(&[Signal::TERM, Signal::INT])?;
        let listener = TcpListener::bind(&address)?;
        println!("listening on {}", listener.local_addr()?);
        match serve(listener, signals, Duration::from_secs(5))? {
            true => println!("all were served"),
            false => println!("some were not served in time"),
        }
        Ok(())
    })
}
