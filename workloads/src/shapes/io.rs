use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use super::team::{join_all, start_all};
use super::{Blocking, Connection};
use crate::handler::{Handler, Panicked, Waits};
use crate::host::files::Files;
use crate::kernels::lehmer;
use crate::lane::{Failure, Order, Outcome};
use crate::load;
use crate::mail;
use crate::measure::{Measured, Meter};

/// `io.tcp_burst` reads one request at a time, so it answers each separately.
pub(crate) fn block_bytes(order: &Order) -> usize {
    match order.workload.has_parameter("block_bytes") {
        true => order.count("block_bytes"),
        false => order.count("payload_bytes"),
    }
}

pub(super) fn sleepers<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (tasks, sleep) = (
        order.count("tasks_count"),
        Duration::from_nanos(order.get("sleep_ns")),
    );
    let mut meter = Meter::begin(L::PROCESSES);
    let checksum = meter.time(|| {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let started = start_all(lane, tasks, |index| {
                let lane = lane.clone();
                move || {
                    lane.sleep(sleep);
                    index + 1
                }
            })?;
            sum += join_all(lane, started)?;
        }
        Ok(sum)
    })?;
    let measured = meter.finish();
    let over = over_ns(&measured, order, sleep);
    Ok(Outcome::new(measured, checksum).with("over_ns", over))
}

pub(crate) fn over_ns(measured: &Measured, order: &Order, sleep: Duration) -> f64 {
    measured.elapsed.as_nanos() as f64 / order.iterations as f64 - sleep.as_nanos() as f64
}

pub(super) fn tcp_echo<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let block_bytes = block_bytes(order);
    loaded(lane, order, move |_, stream| echo(stream, block_bytes))
}

pub(super) fn handle<L: Blocking>(
    lane: &L,
    order: &Order,
    handler: Handler,
) -> Result<Outcome, Failure> {
    let panicked = Panicked::default();
    let outcome = loaded(lane, order, {
        let (size, panicked) = (order.count("payload_bytes"), panicked.clone());
        move |lane, stream| converse(&lane, stream, handler, size, &panicked)
    });
    outcome.map_err(|failure| panicked.or(failure))
}

fn loaded<L: Blocking>(
    lane: &L,
    order: &Order,
    conversation: impl Fn(L, L::Stream) -> u64 + Clone + Send + 'static,
) -> Result<Outcome, Failure> {
    let connections = order.count("connections_count");
    let meter = Meter::begin(true);
    let (listener, address) = lane
        .listen()
        .map_err(|error| Failure::host("listening on the loopback", &error, "ulimit -n"))?;
    let acceptor = {
        let (lane, listener) = (lane.clone(), listener.clone());
        lane.clone().spawn(move || {
            serve(&lane, &listener, connections, conversation)
                .unwrap_or_else(|failure| failure.throw())
        })?
    };
    let plan = load::Plan::new(order, address);
    let report = lane.blocking(move || load::run(&plan.arguments()));
    if report.is_err() {
        lane.close(&listener);
    }
    let served = lane.join(acceptor);
    let report = report?;
    served?;
    Ok(report.into_outcome(meter.finish()))
}

fn serve<L: Blocking>(
    lane: &L,
    listener: &L::Listener,
    connections: usize,
    conversation: impl Fn(L, L::Stream) -> u64 + Clone + Send + 'static,
) -> Result<u64, Failure> {
    let mut tasks = Vec::with_capacity(connections);
    let mut failure = None;
    while tasks.len() < connections && failure.is_none() {
        let accepted = lane
            .accept(listener)
            .map_err(|error| Failure::host("accepting a connection", &error, "ulimit -n"));
        let start = |stream| {
            let (own, conversation) = (lane.clone(), conversation.clone());
            lane.spawn(move || conversation(own, stream))
        };
        match accepted.and_then(start) {
            Ok(task) => tasks.push(task),
            Err(error) => failure = Some(error),
        }
    }
    if failure.is_some() {
        // The closed listener refuses further connections, so the load generator does not wait for
        // them.
        lane.close(listener);
    }
    let sum = join_all(lane, tasks);
    failure.map_or(sum, Err)
}

fn echo(mut stream: impl Read + Write, block_bytes: usize) -> u64 {
    let mut block = vec![0; block_bytes];
    let mut echoed = 0;
    loop {
        match stream.read(&mut block) {
            Ok(0) => return echoed,
            Ok(size) if stream.write_all(&block[..size]).is_ok() => echoed += size as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // The generator counts the missing answers.
            Ok(_) | Err(_) => return echoed,
        }
    }
}

fn converse<L: Blocking>(
    lane: &L,
    mut stream: L::Stream,
    handler: Handler,
    size: usize,
    panicked: &Panicked,
) -> u64 {
    struct Of<'a, L>(&'a L);
    impl<L: Blocking> Waits for Of<'_, L> {
        fn sleep(&self, time: Duration) {
            self.0.sleep(time);
        }
    }
    let mut bytes = vec![0; size];
    let mut answered = 0;
    while stream.read_exact(&mut bytes).is_ok() {
        let answer = || (handler.blocking)(&mut bytes, &Of(lane));
        if !panicked.catch(answer) || stream.write_all(&bytes).is_err() {
            break;
        }
        answered += 1;
    }
    // Without the shutdown, another process's handle would keep the connection open.
    stream.shut(Shutdown::Both);
    answered
}

pub(super) fn fanout<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (requests, waits) = (order.count("requests_count"), order.count("waits_count"));
    let (wait, steps) = (
        Duration::from_nanos(order.get("wait_ns")),
        order.get("steps_count"),
    );
    let mut meter = Meter::begin(L::PROCESSES);
    let checksum = meter.time(|| {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let started = start_all(lane, requests, |request| {
                let lane = lane.clone();
                move || {
                    answer(&lane, request, waits, wait, steps)
                        .unwrap_or_else(|failure| failure.throw())
                }
            })?;
            sum += join_all(lane, started)?;
        }
        Ok(sum)
    })?;
    Ok(Outcome::new(meter.finish(), checksum))
}

fn answer<L: Blocking>(
    lane: &L,
    request: u64,
    waits: usize,
    wait: Duration,
    steps: u64,
) -> Result<u64, Failure> {
    let waiting = start_all(lane, waits, |_| {
        let lane = lane.clone();
        move || {
            lane.sleep(wait);
            1
        }
    })?;
    let computed = lehmer::after(request, steps) % 1_000;
    Ok(computed + join_all(lane, waiting)?)
}

pub(super) fn file_read<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let block_bytes = order.count("block_bytes");
    let tasks = order.count("tasks_count");
    let (files, cold) = (
        Files::create(tasks, order.get("file_bytes"))?,
        order.get("cold") == 1,
    );
    let mut meter = Meter::begin(L::PROCESSES);
    let mut checksum = 0;
    for _ in 0..order.iterations {
        if cold {
            files.drop_cache()?;
        }
        let watch = meter.start();
        let started = start_all(lane, tasks, |index| {
            let (lane, path) = (lane.clone(), files.path(index));
            move || {
                lane.blocking(move || Files::add_up(&path, block_bytes))
                    .unwrap_or_else(|failure| failure.throw())
            }
        })?;
        checksum += join_all(lane, started)?;
        meter.stop(watch);
    }
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) fn email<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let tasks = order.count("tasks_count");
    let delay = order.get("delay_ns");
    let server = lane.blocking(move || mail::start(delay))?;
    let address = server.address;
    let mut meter = Meter::begin(L::PROCESSES);
    meter.time(|| {
        for _ in 0..order.iterations {
            let started = start_all(lane, tasks, |number| {
                let lane = lane.clone();
                move || {
                    let sent = lane.blocking(move || mail::send(address, number));
                    sent.unwrap_or_else(|failure| failure.throw())
                }
            })?;
            join_all(lane, started)?;
        }
        Ok(())
    })?;
    // The server's usage is not the lane's, so it is read before the server ends.
    let measured = meter.finish();
    let accepted = lane.blocking(move || server.finish::<mail::Accepted>())?;
    Ok(accepted.into_outcome(measured))
}
