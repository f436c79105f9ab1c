use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use super::Stackless;
use super::team::{join_all, run_all, timed, timed_sum};
use crate::handler::{AsyncWaits, Handler, Later, Panicked};
use crate::host::files::Files;
use crate::kernels::lehmer;
use crate::lane::{Failure, Order, Outcome};
use crate::load;
use crate::mail;
use crate::measure::Meter;
use crate::shapes::io::{block_bytes, over_ns};

pub(super) async fn sleepers<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let time = Duration::from_nanos(order.get("sleep_ns"));
    let outcome = timed_sum(async {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let sleeper = |index| async move {
                L::sleep(time).await;
                index + 1
            };
            sum += run_all(lane, order.get("tasks_count"), sleeper).await?;
        }
        Ok(sum)
    })
    .await?;
    let over = over_ns(&outcome.measured, order, time);
    Ok(outcome.with("over_ns", over))
}

pub(super) async fn tcp_echo<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let block_bytes = block_bytes(order);
    loaded(lane, order, move |stream| echo::<L>(stream, block_bytes)).await
}

pub(super) async fn handle<L: Stackless>(
    lane: &L,
    order: &Order,
    handler: Handler,
) -> Result<Outcome, Failure> {
    let panicked = Panicked::default();
    let size = order.count("payload_bytes");
    let own = panicked.clone();
    let outcome = loaded(lane, order, move |stream| {
        converse::<L>(stream, handler, size, own.clone())
    });
    outcome.await.map_err(|failure| panicked.or(failure))
}

async fn loaded<L: Stackless, F: Future<Output = u64> + Send + 'static>(
    lane: &L,
    order: &Order,
    conversation: impl Fn(L::Stream) -> F + Send + 'static,
) -> Result<Outcome, Failure> {
    let connections = order.count("connections_count");
    let meter = Meter::begin(true);
    let (listener, address) = L::listen()
        .await
        .map_err(|error| Failure::host("listening on the loopback", &error, "ulimit -n"))?;
    let own = lane.clone();
    let acceptor = lane.spawn(async move {
        serve(&own, listener, connections, conversation)
            .await
            .unwrap_or_else(|failure| failure.throw())
    });
    let plan = load::Plan::new(order, address);
    // A failed load ends the sample, and with it the acceptor.
    let report = L::blocking(move || load::run(&plan.arguments())).await??;
    L::join(acceptor).await?;
    Ok(report.into_outcome(meter.finish()))
}

async fn serve<L: Stackless, F: Future<Output = u64> + Send + 'static>(
    lane: &L,
    listener: L::Listener,
    connections: usize,
    conversation: impl Fn(L::Stream) -> F + Send + 'static,
) -> Result<u64, Failure> {
    let mut tasks = Vec::with_capacity(connections);
    while tasks.len() < connections {
        let stream = L::accept(&listener)
            .await
            .map_err(|error| Failure::host("accepting a connection", &error, "ulimit -n"))?;
        tasks.push(lane.spawn(conversation(stream)));
    }
    join_all::<L>(tasks).await
}

async fn echo<L: Stackless>(mut stream: L::Stream, block_bytes: usize) -> u64 {
    let mut block = vec![0; block_bytes];
    let mut echoed = 0;
    loop {
        match L::read(&mut stream, &mut block).await {
            Ok(0) => return echoed,
            Ok(size) if L::write_all(&mut stream, &block[..size]).await.is_ok() => {
                echoed += size as u64;
            }
            // The generator counts the missing answers.
            Ok(_) | Err(_) => return echoed,
        }
    }
}

async fn converse<L: Stackless>(
    mut stream: L::Stream,
    handler: Handler,
    size: usize,
    panicked: Panicked,
) -> u64 {
    struct Of<L>(PhantomData<fn() -> L>);
    impl<L: Stackless> AsyncWaits for Of<L> {
        fn sleep(&self, time: Duration) -> Later<'static> {
            Box::pin(L::sleep(time))
        }
    }
    let mut bytes = vec![0; size];
    let mut answered = 0;
    loop {
        let mut received = 0;
        while received < size {
            match L::read(&mut stream, &mut bytes[received..]).await {
                Ok(read @ 1..) => received += read,
                _ => return answered,
            }
        }
        let waits = Of::<L>(PhantomData);
        let answer = panicked.catch_future(|| (handler.stackless)(&mut bytes, &waits));
        if !answer.await || L::write_all(&mut stream, &bytes).await.is_err() {
            return answered;
        }
        answered += 1;
    }
}

pub(super) async fn fanout<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (requests, waits) = (order.get("requests_count"), order.get("waits_count"));
    let (wait, steps) = (
        Duration::from_nanos(order.get("wait_ns")),
        order.get("steps_count"),
    );
    timed_sum(async {
        let mut sum = 0;
        for _ in 0..order.iterations {
            sum += run_all(lane, requests, |request| {
                answer(lane.clone(), request, waits, wait, steps)
            })
            .await?;
        }
        Ok(sum)
    })
    .await
}

async fn answer<L: Stackless>(
    lane: L,
    request: u64,
    waits: u64,
    wait: Duration,
    steps: u64,
) -> u64 {
    let waiting: Vec<_> = (0..waits)
        .map(|_| {
            lane.spawn(async move {
                L::sleep(wait).await;
                1
            })
        })
        .collect();
    let computed = lehmer::after(request, steps) % 1_000;
    let waited = join_all::<L>(waiting).await;
    computed + waited.unwrap_or_else(|failure| failure.throw())
}

pub(super) async fn file_read<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let block_bytes = order.count("block_bytes");
    let tasks = order.get("tasks_count");
    let (files, cold) = (
        Files::create(tasks as usize, order.get("file_bytes"))?,
        order.get("cold") == 1,
    );
    let mut checksum = 0;
    let mut meter = Meter::begin(false);
    for _ in 0..order.iterations {
        if cold {
            files.drop_cache()?;
        }
        let watch = meter.start();
        // Each task reads its whole file on a thread that may block. A runtime's own file type
        // would use such a thread for each block.
        checksum += run_all(lane, tasks, |index| {
            let path = files.path(index);
            async move {
                let read = L::blocking(move || Files::add_up(&path, block_bytes)).await;
                read.and_then(|sum| sum)
                    .unwrap_or_else(|failure| failure.throw())
            }
        })
        .await?;
        meter.stop(watch);
    }
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn email<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (tasks, delay) = (order.get("tasks_count"), order.get("delay_ns"));
    let server = L::blocking(move || mail::start(delay)).await??;
    let address = server.address;
    let (measured, sent) = timed(async {
        for _ in 0..order.iterations {
            run_all(lane, tasks, |number| async move {
                let sent = L::mail(address, number).await;
                sent.unwrap_or_else(|failure| failure.throw())
            })
            .await?;
        }
        Ok::<(), Failure>(())
    })
    .await;
    sent?;
    let accepted = L::blocking(move || server.finish::<mail::Accepted>()).await??;
    Ok(accepted.into_outcome(measured))
}
