//! Waiting for the world.

use std::net::Ipv4Addr;
use std::time::Duration;

use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
use ::tokio::net::{TcpListener, TcpStream};
use ::tokio::spawn;
use ::tokio::task::spawn_blocking;
use ::tokio::time::sleep;

use super::team::{Team, failure, join_all, number_pipe};
use crate::host::files::Files;
use crate::kernels::lehmer;
use crate::lane::{Failure, Order, Outcome};
use crate::load;
use crate::mail;
use crate::measure::Meter;

const ECHO_BYTES: usize = 16 << 10;

pub(super) async fn sleepers(order: &Order) -> Result<Outcome, Failure> {
    let (tasks, time) = (
        order.get("tasks_count"),
        Duration::from_nanos(order.get("sleep_ns")),
    );
    let mut checksum = 0;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    for _ in 0..order.iterations {
        let mut started = Vec::with_capacity(tasks as usize);
        for index in 0..tasks {
            started.push(spawn(async move {
                sleep(time).await;
                index + 1
            }));
        }
        checksum += join_all(started).await?;
    }
    meter.stop(watch);
    let measured = meter.finish();
    let over =
        measured.elapsed.as_nanos() as f64 / order.iterations as f64 - time.as_nanos() as f64;
    Ok(Outcome::new(measured, checksum).with("over_ns", over))
}

pub(super) async fn tcp_echo(order: &Order) -> Result<Outcome, Failure> {
    let connections = order.count("connections_count");
    let meter = Meter::begin(true);
    let listening = async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        std::io::Result::Ok((listener, address))
    };
    let (listener, address) = listening
        .await
        .map_err(|error| Failure::host("listening on the loopback", &error, "ulimit -n"))?;
    let acceptor = spawn(serve(listener, connections));
    let plan = load::Plan::new(order, address);
    // A failed load ends the sample, the runtime and with it the acceptor.
    let report = spawn_blocking(move || load::run(&plan))
        .await
        .map_err(failure)??;
    acceptor.await.map_err(failure)??;
    Ok(report.into_outcome(meter.finish()))
}

async fn serve(listener: TcpListener, connections: usize) -> Result<u64, Failure> {
    let mut tasks = Vec::with_capacity(connections);
    while tasks.len() < connections {
        let accepted = listener
            .accept()
            .await
            .and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream));
        let stream = accepted
            .map_err(|error| Failure::host("accepting a connection", &error, "ulimit -n"))?;
        tasks.push(spawn(echo(stream)));
    }
    join_all(tasks).await
}

async fn echo(mut stream: TcpStream) -> u64 {
    let mut block = vec![0; ECHO_BYTES];
    let mut echoed = 0;
    loop {
        match stream.read(&mut block).await {
            Ok(0) => return echoed,
            Ok(size) if stream.write_all(&block[..size]).await.is_ok() => echoed += size as u64,
            // The generator counts what has not come back.
            Ok(_) | Err(_) => return echoed,
        }
    }
}

pub(super) async fn fanout(order: &Order) -> Result<Outcome, Failure> {
    let (requests, waits) = (order.get("requests_count"), order.get("waits_count"));
    let (wait, steps) = (
        Duration::from_nanos(order.get("wait_ns")),
        order.get("steps_count"),
    );
    let mut checksum = 0;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    for _ in 0..order.iterations {
        let mut started = Vec::with_capacity(requests as usize);
        for request in 0..requests {
            started.push(spawn(async move {
                let mut waiting = Vec::with_capacity(waits as usize);
                for _ in 0..waits {
                    waiting.push(spawn(async move {
                        sleep(wait).await;
                        1
                    }));
                }
                let computed = lehmer::after(request, steps) % 1_000;
                computed
                    + join_all(waiting)
                        .await
                        .unwrap_or_else(|failure| failure.throw())
            }));
        }
        checksum += join_all(started).await?;
    }
    meter.stop(watch);
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn pipe_ring(order: &Order) -> Result<Outcome, Failure> {
    let (tasks, tokens) = (order.count("tasks_count"), order.count("tokens_count"));
    let hops = order.get("hops_count") * order.iterations;
    if tokens > tasks {
        return Err(Failure::not_supported(format!(
            "{tokens} tokens do not fit a ring of {tasks} tasks"
        )));
    }
    let mut writers = Vec::with_capacity(tasks);
    let mut readers = Vec::with_capacity(tasks);
    for index in 0..tasks {
        let (mut writer, reader) = number_pipe()?;
        if index < tokens {
            writer.write(0).await;
        }
        writers.push(writer);
        readers.push(reader);
    }
    // Task i reads pipe i and writes the next.
    writers.rotate_left(1);
    let mut running = Vec::with_capacity(tasks);
    let mut team = Team::new();
    for (mut from, mut to) in readers.into_iter().zip(writers) {
        let (give_back, given_back) = ::tokio::sync::oneshot::channel();
        running.push(given_back);
        team.add(async move {
            for _ in 0..hops {
                let value = from.read().await;
                to.write(value + 1).await;
            }
            // Both ends stay open until the main task has read the tokens.
            let _ = give_back.send((from, to));
            0
        });
    }
    team.assemble().await;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    team.start();
    team.join().await?;
    meter.stop(watch);
    let mut ends = Vec::with_capacity(tasks);
    for given_back in running {
        ends.push(given_back.await.map_err(|error| {
            Failure::failed(format!("a task did not give its pipes back: {error}"))
        })?);
    }
    let mut checksum = 0;
    for (from, _) in &mut ends[..tokens] {
        checksum += from.read().await;
    }
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn file_read(order: &Order) -> Result<Outcome, Failure> {
    let tasks = order.get("tasks_count");
    let (files, cold) = (
        Files::create(tasks as usize, order.get("file_bytes"))?,
        order.get("cold") == 1,
    );
    let mut checksum = 0;
    let mut meter = Meter::begin(false);
    for _ in 0..order.iterations {
        if cold {
            files.forget()?;
        }
        let watch = meter.start();
        let mut started = Vec::with_capacity(tasks as usize);
        for index in 0..tasks {
            let path = files.path(index);
            // A task and then a thread that may block: what `tokio::fs` does
            // for each call, here once for the whole file.
            started.push(spawn(async move {
                let read = spawn_blocking(move || Files::add_up(&path)).await;
                read.unwrap_or_else(|error| failure(error).throw())
                    .unwrap_or_else(|failure| failure.throw())
            }));
        }
        checksum += join_all(started).await?;
        meter.stop(watch);
    }
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn email(order: &Order) -> Result<Outcome, Failure> {
    let (tasks, delay) = (order.get("tasks_count"), order.get("delay_ns"));
    let server = spawn_blocking(move || mail::Server::start(delay))
        .await
        .map_err(failure)??;
    let address = server.address;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    for _ in 0..order.iterations {
        let mut started = Vec::with_capacity(tasks as usize);
        for number in 0..tasks {
            started.push(spawn(async move {
                let sent = mail::send_async(address, number).await;
                sent.unwrap_or_else(|failure| failure.throw())
            }));
        }
        join_all(started).await?;
    }
    meter.stop(watch);
    let accepted = spawn_blocking(move || server.finish())
        .await
        .map_err(failure)??;
    Ok(Outcome::new(meter.finish(), accepted))
}
