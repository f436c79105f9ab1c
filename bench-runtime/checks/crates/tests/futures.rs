//! Futures of other crates in goroutines, with tokio in the same process, as the docs of
//! `bench_runtime::future` describe.

mod modes;

use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bench_runtime::context::{Context, ContextError};
use bench_runtime::future::{block_on, block_on_with};
use bench_runtime::net::TcpListener;
use bench_runtime::{JoinError, Runtime, chan, go, yield_now};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use modes::each_mode;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

fn beside_tokio(main: fn(Handle)) {
    let tokio = modes::tokio();
    each_mode(|runtime| {
        let handle = tokio.handle().clone();
        runtime.run(move || main(handle));
        // The goroutines that call wakers have no handle, so they are not joined.
        while runtime.metrics().goroutines_count > 0 {
            std::thread::yield_now();
        }
        assert_eq!(runtime.shutdown().unfinished_count, 0);
    });
}

#[test]
fn stream_of_tokios_channel_is_received_by_goroutines() {
    beside_tokio(|tokio| {
        let (to, from) = mpsc::channel(4);
        let (back, mut answers) = mpsc::channel(4);
        tokio.spawn(async move {
            for n in 0..1_000_u64 {
                to.send(n).await.expect("it receives");
                tokio::task::yield_now().await;
            }
        });
        let adds = go(move || {
            let mut from = ReceiverStream::new(from).map(|n| n + 1);
            while let Some(n) = block_on(from.next()) {
                block_on(back.send(n)).expect("it receives");
            }
        });
        let mut sum = 0;
        while let Some(n) = block_on(answers.recv()) {
            sum += n;
        }
        assert_eq!(sum, 500_500);
        adds.join().expect("it does not panic");
    });
}

#[test]
fn tasks_of_tokio_await_goroutines() {
    beside_tokio(|tokio| {
        let (jobs, queue) = chan::<u64>(0);
        let (results, done) = chan(2);
        let worker = go(move || {
            let mut count = 0;
            for job in queue {
                results.send(job * job).expect("it receives");
                count += 1;
            }
            count
        });
        let task = tokio.spawn(async move {
            let mut sum = 0;
            let mut late = 0;
            while sum < 385 {
                // If a receive is late, it is dropped and started again.
                tokio::select! {
                    result = done.recv_async() => sum += result.expect("ten come"),
                    () = tokio::time::sleep(Duration::from_micros(50)) => late += 1,
                }
            }
            (sum, late, worker.join_async().await)
        });
        for n in 1..=10 {
            jobs.send(n).expect("it receives");
            bench_runtime::time::sleep(Duration::from_micros(200));
        }
        drop(jobs);
        let (sum, _, count) = block_on(task).expect("it does not panic");
        assert_eq!((sum, count.expect("it does not panic")), (385, 10));
    });
}

fn server() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound");
    (address, listener)
}

/// Answers each request with its path. Each connection has a goroutine.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let stream = stream.expect("a connection");
        bench_runtime::go!({
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            while let Some(first) = lines.next() {
                let path = first.split(' ').nth(1).expect("a path").to_owned();
                for _ in lines.by_ref().take_while(|line| !line.is_empty()) {}
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", path.len());
                let answer = head + &path;
                if (&stream).write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        });
    }
}

#[test]
fn hypers_client_sends_requests_of_goroutines() {
    beside_tokio(|tokio| {
        let (address, listener) = server();
        let listener = std::sync::Arc::new(listener);
        let accepts = go({
            let listener = listener.clone();
            move || serve(&listener)
        });
        let clients: Vec<_> = (0..8)
            .map(|id| {
                let tokio = tokio.clone();
                go(move || {
                    let connected = tokio.spawn(async move {
                        let stream = tokio::net::TcpStream::connect(address).await?;
                        let io = TokioIo::new(stream);
                        let (sender, connection) = hyper::client::conn::http1::handshake(io)
                            .await
                            .map_err(std::io::Error::other)?;
                        tokio::spawn(connection);
                        std::io::Result::Ok(sender)
                    });
                    let mut sender = block_on(connected)
                        .expect("it does not panic")
                        .expect("it connects");
                    for n in 0..20 {
                        let path = format!("/client/{id}/{n}");
                        let request = hyper::Request::get(path.as_str())
                            .header("host", "loopback")
                            .body(Empty::<Bytes>::new())
                            .expect("a request");
                        let body = block_on(async {
                            sender.ready().await?;
                            let response = sender.send_request(request).await?;
                            assert_eq!(response.status(), 200);
                            response.into_body().collect().await
                        });
                        let body = body.expect("an answer").to_bytes();
                        assert_eq!(body, path.as_bytes());
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().expect("it does not panic");
        }
        listener.close().expect("it is open");
        accepts.join().expect("it does not panic");
    });
}

#[test]
fn timers_of_tokio_are_made_in_its_context_and_awaited_outside() {
    beside_tokio(|tokio| {
        let nap = Duration::from_millis(3);
        let begun = Instant::now();
        let sleep = {
            let _context = tokio.enter();
            tokio::time::sleep(nap)
        };
        block_on(sleep);
        assert!(begun.elapsed() >= nap);

        // A future that starts its timer when it is polled needs tokio's context in each poll.
        let sleep = in_context(tokio, async move { tokio::time::sleep(nap).await });
        block_on(sleep);
        assert!(begun.elapsed() >= 2 * nap);
    });
}

fn in_context<F: Future>(tokio: Handle, future: F) -> impl Future<Output = F::Output> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |cx| {
        let _context = tokio.enter();
        future.as_mut().poll(cx)
    })
}

#[test]
fn context_ends_a_wait_for_an_answer_that_does_not_come() {
    beside_tokio(|tokio| {
        let (asks, mut asked) = mpsc::channel::<oneshot::Sender<u8>>(1);
        let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(2));
        let late = block_on_with(&ctx, async {
            let (answer, answered) = oneshot::channel();
            asks.send(answer).await.expect("it receives");
            answered.await
        });
        assert!(matches!(late, Err(ContextError::DeadlineExceeded)));
        let gone = tokio.spawn(async move {
            let answer = asked.recv().await.expect("it was sent");
            answer.is_closed()
        });
        assert!(block_on(gone).expect("it does not panic"));
    });
}

#[test]
fn guard_of_tokios_context_held_over_a_park_reaches_another_goroutine() {
    // This breaks the contract. tokio counts guards, and panics.
    let tokio = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("tokio starts");
    let handle = tokio.handle().clone();
    // SAFETY: on one P nothing moves; tokio detects it if the program is wrong.
    let runtime = unsafe { Runtime::builder().procs(1).build() }.expect("it starts");
    runtime.run(move || {
        let enters = |parks: usize| {
            let tokio = handle.clone();
            go(move || {
                let _context = tokio.enter();
                (0..parks).for_each(|_| yield_now());
            })
        };
        let (first, second) = (enters(4), enters(8));
        let seen = go(|| Handle::try_current().is_ok());
        assert!(seen.join().expect("it does not panic"), "another's context");
        let first = first.join();
        let Err(JoinError::Panicked(panic)) = first else {
            panic!("tokio let the guards be dropped in any order: {first:?}");
        };
        assert!(panic.to_string().contains("out of order"), "{panic}");
        let _ = second.join();
    });
}
