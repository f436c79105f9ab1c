use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_channel::bounded;

use super::Stackless;
use super::team::{Team, timed_sum};
use crate::host::cache_line::CacheLine;
use crate::kernels::lehmer;
use crate::lane::{Failure, OrThrow, Order, Outcome};
use crate::shapes::share::Big;

pub(super) fn number_pipe<L: Stackless>() -> Result<(L::Writer, L::Reader), Failure> {
    L::pipe().map_err(|error| Failure::host("making a pipe", &error, "ulimit -n"))
}

async fn recv_sum<L: Stackless>(from: &mut L::Receiver, count: u64) -> u64 {
    let mut sum = 0;
    for _ in 0..count {
        sum += L::recv(from).await;
    }
    sum
}

pub(super) async fn counter<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (tasks, additions) = (
        order.get("tasks_count"),
        order.get("additions_count") * order.iterations,
    );
    // No guard is held across an await, so a lock of std is enough.
    let (atomic, lock) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(0)));
    let (sender, mut receiver) = L::channel(order.count("capacity_count"));
    let means = order.get("means");
    let mut team = Team::new(lane);
    for _ in 0..tasks {
        let (atomic, lock, sender) = (atomic.clone(), lock.clone(), sender.clone());
        team.add(async move {
            for _ in 0..additions {
                match means {
                    0 => drop(atomic.fetch_add(1, Ordering::Relaxed)),
                    1 => *lock.lock().unwrap_or_else(PoisonError::into_inner) += 1,
                    _ => L::send(&sender, 1).await,
                }
            }
            0
        });
    }
    if means == 2 {
        team.add(async move { recv_sum::<L>(&mut receiver, tasks * additions).await });
    }
    let (measured, received) = team.race().await?;
    let checksum = match means {
        0 => atomic.load(Ordering::Relaxed),
        1 => *lock.lock().unwrap_or_else(PoisonError::into_inner),
        _ => received,
    };
    Ok(Outcome::new(measured, checksum))
}

pub(super) async fn pipeline<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (stages, items) = (order.count("stages_count"), order.get("items_count"));
    let (all, capacity) = (items * order.iterations, order.count("capacity_count"));
    let mut team = Team::new(lane);
    let (first, mut last) = L::channel(capacity);
    team.add(async move {
        for item in 0..all {
            L::send(&first, item % items).await;
        }
        0
    });
    for _ in 0..stages {
        let (to, next) = L::channel(capacity);
        let mut from = std::mem::replace(&mut last, next);
        team.add(async move {
            for _ in 0..all {
                let item = L::recv(&mut from).await;
                L::send(&to, item + 1).await;
            }
            0
        });
    }
    team.race_against(recv_sum::<L>(&mut last, all)).await
}

pub(super) async fn sieve<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let limit = order.get("limit_count");
    timed_sum(async {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let (numbers, from) = L::channel(0);
            let filter = spawn_filter(lane, from);
            let source = lane.spawn(async move {
                for number in (2..=limit).chain([0]) {
                    L::send(&numbers, number).await;
                }
                0
            });
            sum += L::join(filter).await?;
            L::join(source).await?;
        }
        Ok(sum)
    })
    .await
}

/// The first number is a prime. The next filter gets the numbers that this prime does not divide.
fn spawn_filter<L: Stackless>(lane: &L, mut from: L::Receiver) -> L::Task {
    let own = lane.clone();
    lane.spawn(async move {
        let prime = L::recv(&mut from).await;
        if prime == 0 {
            return 0;
        }
        let (to, next_from) = L::channel(0);
        let next = spawn_filter(&own, next_from);
        loop {
            let number = L::recv(&mut from).await;
            if number == 0 || number % prime != 0 {
                L::send(&to, number).await;
            }
            if number == 0 {
                let next_sum = L::join(next).await;
                return prime + next_sum.unwrap_or_else(|failure| failure.throw());
            }
        }
    })
}

async fn produce<L: Stackless>(to: L::Sender, items: u64, times: u64) -> u64 {
    for _ in 0..times {
        for item in 1..=items {
            L::send(&to, item).await;
        }
    }
    0
}

pub(super) async fn fan_in<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (producers, items) = (order.get("producers_count"), order.get("items_count"));
    let (sender, mut receiver) = L::channel(order.count("capacity_count"));
    let mut team = Team::new(lane);
    for _ in 0..producers {
        team.add(produce::<L>(sender.clone(), items, order.iterations));
    }
    let all = order.iterations * producers * items;
    team.race_against(recv_sum::<L>(&mut receiver, all)).await
}

pub(super) async fn select<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let items = order.get("items_count");
    let (to_one, mut one) = L::channel(0);
    let (to_other, mut other) = L::channel(0);
    let mut team = Team::new(lane);
    for sender in [&to_one, &to_other] {
        team.add(produce::<L>(sender.clone(), items, order.iterations));
    }
    let all = 2 * items * order.iterations;
    team.race_against(async {
        let mut sum = 0;
        for _ in 0..all {
            sum += L::recv_either(&mut one, &mut other).await;
        }
        sum
    })
    .await
}

pub(super) async fn worker_pool<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (workers, steps) = (order.or_cpus("workers_count"), order.get("steps_count"));
    let (jobs, iterations) = (order.get("jobs_count"), order.iterations);
    let capacity = order.count("capacity_count");
    // Many tasks receive jobs, so their channel is of `async-channel`, which tokio's documentation
    // recommends for that.
    let (todo, todo_receiver) = bounded(capacity);
    let (done, mut results) = L::channel(capacity);
    let mut team = Team::new(lane);
    for _ in 0..workers {
        let (todo_receiver, done) = (todo_receiver.clone(), done.clone());
        team.add(async move {
            loop {
                match todo_receiver.recv().await.or_throw("receiving") {
                    0 => return 0,
                    job => L::send(&done, lehmer::after(job, steps)).await,
                }
            }
        });
    }
    team.add(async move {
        let jobs = (0..iterations).flat_map(|_| 1..=jobs);
        for job in jobs.chain((0..workers).map(|_| 0)) {
            todo.send(job).await.or_throw("sending");
        }
        0
    });
    team.race_against(recv_sum::<L>(&mut results, jobs * iterations))
        .await
}

pub(super) async fn bounded_buffer<L: Stackless>(
    lane: &L,
    order: &Order,
) -> Result<Outcome, Failure> {
    let (items, iterations) = (order.get("items_count"), order.iterations);
    let (sender, receiver) = bounded(order.count("capacity_count").max(1));
    let mut team = Team::new(lane);
    for _ in 0..order.get("tasks_count") {
        let (sender, receiver) = (sender.clone(), receiver.clone());
        team.add(async move {
            for item in (0..iterations).flat_map(|_| 1..=items) {
                sender.send(item).await.or_throw("sending");
            }
            0
        });
        team.add(async move {
            let mut sum = 0;
            for _ in 0..items * iterations {
                sum += receiver.recv().await.or_throw("receiving");
            }
            sum
        });
    }
    team.race_sum().await
}

pub(super) async fn chameneos<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (creatures, meetings) = (
        order.count("creatures_count"),
        order.get("meetings_count") * order.iterations,
    );
    let (requests, asked) = L::channel(creatures);
    let mut answers = Vec::with_capacity(creatures);
    let mut team = Team::new(lane);
    for creature in 0..creatures as u64 {
        let (answer, answer_receiver) = L::channel(1);
        answers.push(answer);
        team.add(meet::<L>(requests.clone(), answer_receiver, creature));
    }
    team.add(mall::<L>(asked, answers, meetings));
    team.race_sum().await
}

async fn meet<L: Stackless>(requests: L::Sender, mut answer: L::Receiver, creature: u64) -> u64 {
    let mut colour = creature % 3;
    let mut met = 0;
    loop {
        L::send(&requests, 4 * creature + colour).await;
        match L::recv(&mut answer).await {
            0 => return met,
            other if other - 1 != colour => colour = 3 - colour - (other - 1),
            _ => {}
        }
        met += 1;
    }
}

async fn mall<L: Stackless>(
    mut requests: L::Receiver,
    answers: Vec<L::Sender>,
    meetings: u64,
) -> u64 {
    for _ in 0..meetings {
        let one = L::recv(&mut requests).await;
        let other = L::recv(&mut requests).await;
        L::send(&answers[(one / 4) as usize], other % 4 + 1).await;
        L::send(&answers[(other / 4) as usize], one % 4 + 1).await;
    }
    for _ in &answers {
        let last = L::recv(&mut requests).await;
        L::send(&answers[(last / 4) as usize], 0).await;
    }
    0
}

pub(super) async fn big<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let big = Big::of(order);
    let (boxes, own): (Vec<_>, Vec<_>) = (0..big.tasks).map(|_| L::channel(big.capacity())).unzip();
    let (boxes, (finished, mut ends)) = (Arc::new(boxes), L::channel(big.capacity()));
    let mut team = Team::new(lane);
    for (index, own) in (0..).zip(own) {
        team.add(ask::<L>(big, index, boxes.clone(), own, finished.clone()));
    }
    team.add(async move {
        for _ in 0..big.tasks {
            L::recv(&mut ends).await;
        }
        for own in boxes.iter() {
            L::send(own, Big::LAST).await;
        }
        0
    });
    team.race_sum().await
}

/// Returns how many answers this task got.
async fn ask<L: Stackless>(
    big: Big,
    index: u64,
    boxes: Arc<Vec<L::Sender>>,
    mut own: L::Receiver,
    finished: L::Sender,
) -> u64 {
    let (mut x, mut answers) = (lehmer::after(index, 1), 0);
    L::send(&boxes[big.asked(index, x)], index + 1).await;
    loop {
        match L::recv(&mut own).await {
            Big::LAST => return answers,
            message if message == big.answer() => {
                answers += 1;
                if answers < big.pings {
                    x = lehmer::next(x);
                    L::send(&boxes[big.asked(index, x)], index + 1).await;
                } else {
                    L::send(&finished, 1).await;
                }
            }
            asker => L::send(&boxes[asker as usize - 1], big.answer()).await,
        }
    }
}

pub(super) async fn philosophers<L: Stackless>(
    lane: &L,
    order: &Order,
) -> Result<Outcome, Failure> {
    let (tasks, rounds) = (
        order.count("tasks_count"),
        order.get("rounds_count") * order.iterations,
    );
    let new = |_| Arc::new(CacheLine(L::new_lock()));
    let forks: Vec<_> = (0..tasks).map(new).collect();
    let mut team = Team::new(lane);
    for index in 0..tasks {
        let neighbour = (index + 1) % tasks;
        let (low, high) = (
            forks[index.min(neighbour)].clone(),
            forks[index.max(neighbour)].clone(),
        );
        team.add(async move {
            let mut meals = 0;
            for _ in 0..rounds {
                let _low = L::lock(&low).await;
                let _high = L::lock(&high).await;
                meals += 1;
            }
            meals
        });
    }
    team.race_sum().await
}

pub(super) async fn messaging<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (senders, loops) = (
        order.get("senders_count"),
        order.get("loops_count") * order.iterations,
    );
    let capacity = order.count("capacity_count");
    let mut team = Team::new(lane);
    for _ in 0..order.get("groups_count") {
        let (inboxes, receivers): (Vec<_>, Vec<_>) =
            (0..senders).map(|_| L::channel(capacity)).unzip();
        for mut receiver in receivers {
            team.add(async move { recv_sum::<L>(&mut receiver, senders * loops).await });
        }
        for _ in 0..senders {
            let inboxes = inboxes.clone();
            team.add(async move {
                for _ in 0..loops {
                    for inbox in &inboxes {
                        L::send(inbox, 1).await;
                    }
                }
                0
            });
        }
    }
    team.race_sum().await
}

pub(super) async fn brigade<L: Stackless>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (tasks, rounds) = (
        order.get("tasks_count"),
        order.get("rounds_count") * order.iterations,
    );
    let (mut first, mut last) = number_pipe::<L>()?;
    let mut team = Team::new(lane);
    for _ in 0..tasks {
        let (mut to, next) = number_pipe::<L>()?;
        let mut from = std::mem::replace(&mut last, next);
        team.add(async move {
            for _ in 0..rounds {
                let number = L::read_pipe(&mut from).await;
                L::write_pipe(&mut to, number + 1).await;
            }
            0
        });
    }
    team.serve(async move {
        let mut number = 0;
        for _ in 0..rounds {
            L::write_pipe(&mut first, number).await;
            number = L::read_pipe(&mut last).await;
        }
        number
    })
    .await
}
