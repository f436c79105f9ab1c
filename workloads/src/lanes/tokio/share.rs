//! Ways to share between tasks.
//!
//! A channel of tokio has one receiver; where several tasks take from one,
//! they share it by a lock, as tokio's documentation has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::tokio::spawn;
use ::tokio::sync::{Mutex, mpsc};

use super::team::{Team, join, number_pipe};
use crate::kernels::lehmer;
use crate::lane::{Failure, OrThrow, Order, Outcome};
use crate::measure::Meter;

const CAPACITY: usize = 64;
const MESSAGING_CAPACITY: usize = 100;
/// A channel's end is dropped by a task that has failed, never before.
const GONE: &str = "the other end of the channel is gone";

type Sender = mpsc::Sender<u64>;
type Receiver = mpsc::Receiver<u64>;

async fn send(to: &Sender, number: u64) {
    to.send(number).await.or_throw("sending");
}

async fn recv(from: &mut Receiver) -> u64 {
    from.recv().await.ok_or(GONE).or_throw("receiving")
}

async fn recv_shared(from: &Mutex<Receiver>) -> u64 {
    recv(&mut *from.lock().await).await
}

/// The sum of so many numbers.
async fn recv_sum(from: &mut Receiver, count: u64) -> u64 {
    let mut sum = 0;
    for _ in 0..count {
        sum += recv(from).await;
    }
    sum
}

pub(super) async fn counter(order: &Order) -> Result<Outcome, Failure> {
    let (tasks, additions) = (
        order.get("tasks_count"),
        order.get("additions_count") * order.iterations,
    );
    let (atomic, lock) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(0)));
    let (sender, mut receiver) = mpsc::channel(CAPACITY);
    let means = order.get("means");
    let mut team = Team::new();
    for _ in 0..tasks {
        let (atomic, lock, sender) = (atomic.clone(), lock.clone(), sender.clone());
        team.add(async move {
            for _ in 0..additions {
                match means {
                    0 => drop(atomic.fetch_add(1, Ordering::Relaxed)),
                    1 => *lock.lock().await += 1,
                    _ => send(&sender, 1).await,
                }
            }
            0
        });
    }
    if means == 2 {
        team.add(async move { recv_sum(&mut receiver, tasks * additions).await });
    }
    team.assemble().await;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    team.start();
    let received = team.join().await?;
    meter.stop(watch);
    let checksum = match means {
        0 => atomic.load(Ordering::Relaxed),
        1 => *lock.lock().await,
        _ => received,
    };
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn pipeline(order: &Order) -> Result<Outcome, Failure> {
    let (stages, items) = (order.count("stages_count"), order.get("items_count"));
    let (all, capacity) = (
        items * order.iterations,
        order.count("capacity_count").max(1),
    );
    let mut team = Team::new();
    let (first, mut last) = mpsc::channel(capacity);
    team.add(async move {
        for item in 0..all {
            send(&first, item % items).await;
        }
        0
    });
    for _ in 0..stages {
        let (to, next) = mpsc::channel(capacity);
        let mut from = std::mem::replace(&mut last, next);
        team.add(async move {
            for _ in 0..all {
                let item = recv(&mut from).await;
                send(&to, item + 1).await;
            }
            0
        });
    }
    team.assemble().await;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    team.start();
    let checksum = recv_sum(&mut last, all).await;
    meter.stop(watch);
    team.join().await?;
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn sieve(order: &Order) -> Result<Outcome, Failure> {
    let limit = order.get("limit_count");
    let mut checksum = 0;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    for _ in 0..order.iterations {
        let (numbers, from) = mpsc::channel(1);
        let filter = spawn_filter(from);
        let source = spawn(async move {
            for number in (2..=limit).chain([0]) {
                send(&numbers, number).await;
            }
            0
        });
        checksum += join(filter).await?;
        join(source).await?;
    }
    meter.stop(watch);
    Ok(Outcome::new(meter.finish(), checksum))
}

/// Takes its first number as a prime and passes on what that does not divide,
/// to the next filter, which it starts.
fn spawn_filter(mut from: Receiver) -> ::tokio::task::JoinHandle<u64> {
    spawn(async move {
        let prime = recv(&mut from).await;
        if prime == 0 {
            return 0;
        }
        let (to, next_from) = mpsc::channel(1);
        let next = spawn_filter(next_from);
        loop {
            let number = recv(&mut from).await;
            if number == 0 || number % prime != 0 {
                send(&to, number).await;
            }
            if number == 0 {
                return prime + join(next).await.unwrap_or_else(|failure| failure.throw());
            }
        }
    })
}

/// Sends 1 to `items`, again and again.
async fn produce(to: Sender, items: u64, times: u64) -> u64 {
    for _ in 0..times {
        for item in 1..=items {
            send(&to, item).await;
        }
    }
    0
}

pub(super) async fn fan_in(order: &Order) -> Result<Outcome, Failure> {
    let (producers, items) = (order.get("producers_count"), order.get("items_count"));
    let (sender, mut receiver) = mpsc::channel(CAPACITY);
    let mut team = Team::new();
    for _ in 0..producers {
        team.add(produce(sender.clone(), items, order.iterations));
    }
    team.assemble().await;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    team.start();
    let checksum = recv_sum(&mut receiver, order.iterations * producers * items).await;
    meter.stop(watch);
    team.join().await?;
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn worker_pool(order: &Order) -> Result<Outcome, Failure> {
    let (workers, steps) = (order.or_cpus("workers_count"), order.get("steps_count"));
    let (jobs, iterations) = (order.get("jobs_count"), order.iterations);
    let (todo, taken) = mpsc::channel(CAPACITY);
    let (done, mut results) = mpsc::channel(CAPACITY);
    let taken = Arc::new(Mutex::new(taken));
    let mut team = Team::new();
    for _ in 0..workers {
        let (taken, done) = (taken.clone(), done.clone());
        team.add(async move {
            loop {
                match recv_shared(&taken).await {
                    0 => return 0,
                    job => send(&done, lehmer::after(job, steps)).await,
                }
            }
        });
    }
    team.add(async move {
        produce(todo.clone(), jobs, iterations).await;
        for _ in 0..workers {
            send(&todo, 0).await;
        }
        0
    });
    team.assemble().await;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    team.start();
    let checksum = recv_sum(&mut results, jobs * iterations).await;
    meter.stop(watch);
    team.join().await?;
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn bounded_buffer(order: &Order) -> Result<Outcome, Failure> {
    let (tasks, items, iterations) = (
        order.get("tasks_count"),
        order.get("items_count"),
        order.iterations,
    );
    let (sender, receiver) = mpsc::channel(order.count("capacity_count"));
    let receiver = Arc::new(Mutex::new(receiver));
    let mut team = Team::new();
    for _ in 0..tasks {
        team.add(produce(sender.clone(), items, iterations));
        let receiver = receiver.clone();
        team.add(async move {
            let mut sum = 0;
            for _ in 0..items * iterations {
                sum += recv_shared(&receiver).await;
            }
            sum
        });
    }
    team.assemble().await;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    team.start();
    let checksum = team.join().await?;
    meter.stop(watch);
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn chameneos(order: &Order) -> Result<Outcome, Failure> {
    let (creatures, meetings) = (
        order.count("creatures_count"),
        order.get("meetings_count") * order.iterations,
    );
    let (requests, asked) = mpsc::channel(creatures);
    let mut answers = Vec::with_capacity(creatures);
    let mut team = Team::new();
    for creature in 0..creatures as u64 {
        let (answer, answered) = mpsc::channel(1);
        answers.push(answer);
        team.add(meet(requests.clone(), answered, creature));
    }
    team.add(mall(asked, answers, meetings));
    team.assemble().await;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    team.start();
    let checksum = team.join().await?;
    meter.stop(watch);
    Ok(Outcome::new(meter.finish(), checksum))
}

/// A creature's life; how often it has met another.
async fn meet(requests: Sender, mut answer: Receiver, creature: u64) -> u64 {
    let mut colour = creature % 3;
    let mut met = 0;
    loop {
        send(&requests, 4 * creature + colour).await;
        match recv(&mut answer).await {
            0 => return met,
            other if other - 1 != colour => colour = 3 - colour - (other - 1),
            _ => {}
        }
        met += 1;
    }
}

async fn mall(mut requests: Receiver, answers: Vec<Sender>, meetings: u64) -> u64 {
    for _ in 0..meetings {
        let (one, other) = (recv(&mut requests).await, recv(&mut requests).await);
        send(&answers[(one / 4) as usize], other % 4 + 1).await;
        send(&answers[(other / 4) as usize], one % 4 + 1).await;
    }
    for _ in &answers {
        let last = recv(&mut requests).await;
        send(&answers[(last / 4) as usize], 0).await;
    }
    0
}

pub(super) async fn philosophers(order: &Order) -> Result<Outcome, Failure> {
    let (tasks, rounds) = (
        order.count("tasks_count"),
        order.get("rounds_count") * order.iterations,
    );
    let forks: Vec<Arc<Mutex<()>>> = (0..tasks).map(|_| Arc::default()).collect();
    let mut team = Team::new();
    for index in 0..tasks {
        let neighbour = (index + 1) % tasks;
        let (low, high) = (
            forks[index.min(neighbour)].clone(),
            forks[index.max(neighbour)].clone(),
        );
        team.add(async move {
            let mut meals = 0;
            for _ in 0..rounds {
                let _low = low.lock().await;
                let _high = high.lock().await;
                meals += 1;
            }
            meals
        });
    }
    team.assemble().await;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    team.start();
    let checksum = team.join().await?;
    meter.stop(watch);
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn messaging(order: &Order) -> Result<Outcome, Failure> {
    let (senders, loops) = (
        order.get("senders_count"),
        order.get("loops_count") * order.iterations,
    );
    let mut team = Team::new();
    for _ in 0..order.get("groups_count") {
        let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..senders)
            .map(|_| mpsc::channel(MESSAGING_CAPACITY))
            .unzip();
        for mut receiver in receivers {
            team.add(async move { recv_sum(&mut receiver, senders * loops).await });
        }
        for _ in 0..senders {
            let inboxes = inboxes.clone();
            team.add(async move {
                for _ in 0..loops {
                    for inbox in &inboxes {
                        send(inbox, 1).await;
                    }
                }
                0
            });
        }
    }
    team.assemble().await;
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    team.start();
    let checksum = team.join().await?;
    meter.stop(watch);
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) async fn brigade(order: &Order) -> Result<Outcome, Failure> {
    let (tasks, rounds) = (
        order.get("tasks_count"),
        order.get("rounds_count") * order.iterations,
    );
    let (mut first, mut last) = number_pipe()?;
    let mut team = Team::new();
    for _ in 0..tasks {
        let (mut to, next) = number_pipe()?;
        let mut from = std::mem::replace(&mut last, next);
        team.add(async move {
            for _ in 0..rounds {
                let number = from.read().await;
                to.write(number + 1).await;
            }
            0
        });
    }
    team.assemble().await;
    team.start();
    let mut meter = Meter::begin(false);
    let watch = meter.start();
    let mut number = 0;
    for _ in 0..rounds {
        first.write(number).await;
        number = last.read().await;
    }
    meter.stop(watch);
    team.join().await?;
    Ok(Outcome::new(meter.finish(), number))
}
