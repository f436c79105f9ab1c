use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Blocking;
use super::team::Team;
use crate::kernels::lehmer;
use crate::lane::{Failure, Order, Outcome};
use crate::measure::Meter;

pub(super) fn counter<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (tasks, additions) = (
        order.get("tasks_count"),
        order.get("additions_count") * order.iterations,
    );
    let mut meter = Meter::begin(L::PROCESSES);
    let (atomic, lock, channel) = (
        lane.shared()?,
        lane.lock()?,
        lane.channel(order.count("capacity_count"))?,
    );
    let mut team = Team::new(lane)?;
    let means = order.get("means");
    for _ in 0..tasks {
        let (lane, atomic, lock, channel) =
            (lane.clone(), atomic.clone(), lock.clone(), channel.clone());
        team.add(move || {
            for _ in 0..additions {
                match means {
                    0 => drop(atomic.fetch_add(1, Ordering::Relaxed)),
                    1 => lane.locked(&lock, |counter| *counter += 1),
                    _ => lane.send(&channel, 1),
                }
            }
            0
        })?;
    }
    if means == 2 {
        let (lane, channel) = (lane.clone(), channel.clone());
        team.add(move || (0..tasks * additions).map(|_| lane.recv(&channel)).sum())?;
    }
    let received = team.race(&mut meter)?;
    let checksum = match means {
        0 => atomic.load(Ordering::Relaxed),
        1 => lane.locked(&lock, |counter| *counter),
        _ => received,
    };
    Ok(Outcome::new(meter.finish(), checksum))
}

pub(super) fn pipeline<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (stages, items) = (order.count("stages_count"), order.get("items_count"));
    let all = items * order.iterations;
    let meter = Meter::begin(L::PROCESSES);
    let channels = (0..=stages)
        .map(|_| lane.channel(order.count("capacity_count")))
        .collect::<Result<Vec<_>, _>>()?;
    let mut team = Team::new(lane)?;
    {
        let (lane, first) = (lane.clone(), channels[0].clone());
        team.add(move || {
            for item in 0..all {
                lane.send(&first, item % items);
            }
            0
        })?;
    }
    for neighbours in channels.windows(2) {
        let (lane, from, to) = (lane.clone(), neighbours[0].clone(), neighbours[1].clone());
        team.add(move || {
            for _ in 0..all {
                let item = lane.recv(&from);
                lane.send(&to, item + 1);
            }
            0
        })?;
    }
    team.race_against(meter, || {
        (0..all).map(|_| lane.recv(&channels[stages])).sum()
    })
}

pub(super) fn sieve<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let limit = order.get("limit_count");
    let mut meter = Meter::begin(L::PROCESSES);
    let checksum = meter.time(|| {
        let mut sum = 0;
        for _ in 0..order.iterations {
            let first = lane.channel(0)?;
            let (source_lane, numbers) = (lane.clone(), first.clone());
            let (filter_lane, from) = (lane.clone(), first.clone());
            // The filter starts first, because the source would send to a channel without a
            // receiver if the filter could not start.
            let filter = lane.spawn(move || filter(&filter_lane, &from))?;
            let source = lane.spawn(move || {
                for number in (2..=limit).chain([0]) {
                    source_lane.send(&numbers, number);
                }
                0
            });
            if source.is_err() {
                lane.send(&first, 0);
            }
            sum += lane.join(filter)?;
            lane.join(source?)?;
        }
        Ok(sum)
    })?;
    Ok(Outcome::new(meter.finish(), checksum))
}

/// The first number is a prime. The next filter gets the numbers that this prime does not divide.
fn filter<L: Blocking>(lane: &L, from: &L::Channel) -> u64 {
    let prime = lane.recv(from);
    if prime == 0 {
        return 0;
    }
    let start = || -> Result<_, Failure> {
        let to = lane.channel(0)?;
        let (next_lane, next_from) = (lane.clone(), to.clone());
        let next = lane.spawn(move || filter(&next_lane, &next_from))?;
        Ok((to, next))
    };
    let (to, next) = match start() {
        Ok(next) => next,
        Err(failure) => {
            // The tasks before this filter must not stay blocked, so all their numbers are received
            // until the 0.
            while lane.recv(from) != 0 {}
            failure.throw()
        }
    };
    loop {
        let number = lane.recv(from);
        if number == 0 || number % prime != 0 {
            lane.send(&to, number);
        }
        if number == 0 {
            return prime + lane.join(next).unwrap_or_else(|failure| failure.throw());
        }
    }
}

pub(super) fn fan_in<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (producers, items) = (order.get("producers_count"), order.get("items_count"));
    let iterations = order.iterations;
    let meter = Meter::begin(L::PROCESSES);
    let channel = lane.channel(order.count("capacity_count"))?;
    let mut team = Team::new(lane)?;
    for _ in 0..producers {
        let (lane, channel) = (lane.clone(), channel.clone());
        team.add(move || produce(&lane, &channel, items, iterations))?;
    }
    team.race_against(meter, || {
        (0..iterations * producers * items)
            .map(|_| lane.recv(&channel))
            .sum()
    })
}

fn produce<L: Blocking>(lane: &L, channel: &L::Channel, items: u64, times: u64) -> u64 {
    for _ in 0..times {
        for item in 1..=items {
            lane.send(channel, item);
        }
    }
    0
}

pub(super) fn select<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (items, iterations) = (order.get("items_count"), order.iterations);
    let meter = Meter::begin(L::PROCESSES);
    let channels = [lane.channel(0)?, lane.channel(0)?];
    let mut team = Team::new(lane)?;
    for channel in channels.clone() {
        let lane = lane.clone();
        team.add(move || produce(&lane, &channel, items, iterations))?;
    }
    team.race_against(meter, || {
        (0..2 * items * iterations)
            .map(|_| lane.recv_either(&channels))
            .sum()
    })
}

pub(super) fn worker_pool<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (workers, steps) = (order.or_cpus("workers_count"), order.get("steps_count"));
    let (jobs, iterations) = (order.get("jobs_count"), order.iterations);
    let meter = Meter::begin(L::PROCESSES);
    let capacity = order.count("capacity_count");
    let (todo, done) = (lane.channel(capacity)?, lane.channel(capacity)?);
    let mut team = Team::new(lane)?;
    for _ in 0..workers {
        let (lane, todo, done) = (lane.clone(), todo.clone(), done.clone());
        team.add(move || {
            loop {
                match lane.recv(&todo) {
                    0 => return 0,
                    job => lane.send(&done, lehmer::after(job, steps)),
                }
            }
        })?;
    }
    {
        let (lane, todo) = (lane.clone(), todo.clone());
        team.add(move || {
            produce(&lane, &todo, jobs, iterations);
            for _ in 0..workers {
                lane.send(&todo, 0);
            }
            0
        })?;
    }
    team.race_against(meter, || {
        (0..jobs * iterations).map(|_| lane.recv(&done)).sum()
    })
}

pub(super) fn bounded_buffer<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (tasks, items, iterations) = (
        order.get("tasks_count"),
        order.get("items_count"),
        order.iterations,
    );
    let meter = Meter::begin(L::PROCESSES);
    let buffer = lane.channel(order.count("capacity_count"))?;
    let mut team = Team::new(lane)?;
    for _ in 0..tasks {
        let (producer, consumer) = (lane.clone(), lane.clone());
        let (to, from) = (buffer.clone(), buffer.clone());
        team.add(move || produce(&producer, &to, items, iterations))?;
        team.add(move || (0..items * iterations).map(|_| consumer.recv(&from)).sum())?;
    }
    team.race_sum(meter)
}

pub(super) fn chameneos<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (creatures, meetings) = (
        order.count("creatures_count"),
        order.get("meetings_count") * order.iterations,
    );
    let meter = Meter::begin(L::PROCESSES);
    let requests = lane.channel(creatures)?;
    let answers = (0..creatures)
        .map(|_| lane.channel(1))
        .collect::<Result<Vec<_>, _>>()?;
    let mut team = Team::new(lane)?;
    for (creature, answer) in (0..).zip(&answers) {
        let (lane, requests, answer) = (lane.clone(), requests.clone(), answer.clone());
        team.add(move || meet(&lane, &requests, &answer, creature))?;
    }
    {
        let (lane, requests) = (lane.clone(), requests.clone());
        team.add(move || {
            mall(&lane, &requests, &answers, meetings);
            0
        })?;
    }
    team.race_sum(meter)
}

fn meet<L: Blocking>(lane: &L, requests: &L::Channel, answer: &L::Channel, creature: u64) -> u64 {
    let mut colour = creature % 3;
    for met in 0.. {
        lane.send(requests, 4 * creature + colour);
        match lane.recv(answer) {
            0 => return met,
            other if other - 1 != colour => colour = 3 - colour - (other - 1),
            _ => {}
        }
    }
    unreachable!("a creature lives until it is told to go")
}

/// Pairs the creatures in the order of their requests. After the last meeting each gets 0.
fn mall<L: Blocking>(lane: &L, requests: &L::Channel, answers: &[L::Channel], meetings: u64) {
    let answer = |request: u64, value| lane.send(&answers[(request / 4) as usize], value);
    for _ in 0..meetings {
        let (one, other) = (lane.recv(requests), lane.recv(requests));
        answer(one, other % 4 + 1);
        answer(other, one % 4 + 1);
    }
    for _ in answers {
        answer(lane.recv(requests), 0);
    }
}

#[derive(Clone, Copy)]
pub(super) struct Big {
    pub(super) tasks: u64,
    pub(super) pings: u64,
}

impl Big {
    /// Ends a task. A request is its sender's number, from 1.
    pub(super) const LAST: u64 = 0;

    pub(super) fn of(order: &Order) -> Self {
        Self {
            tasks: order.get("tasks_count"),
            pings: order.get("pings_count") * order.iterations,
        }
    }

    pub(super) fn answer(self) -> u64 {
        self.tasks + 1
    }

    /// Enough for a request of each other task, an answer, and [`LAST`](Self::LAST).
    pub(super) fn capacity(self) -> usize {
        self.tasks as usize + 1
    }

    /// The receiver of a request of task `index`, by the random number `x`: another task.
    pub(super) fn asked(self, index: u64, x: u64) -> usize {
        ((index + 1 + x % (self.tasks - 1)) % self.tasks) as usize
    }
}

pub(super) fn big<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let big = Big::of(order);
    let meter = Meter::begin(L::PROCESSES);
    let boxes = (0..big.tasks)
        .map(|_| lane.channel(big.capacity()))
        .collect::<Result<Vec<_>, _>>()?;
    let (boxes, finished) = (Arc::new(boxes), lane.channel(big.capacity())?);
    let mut team = Team::new(lane)?;
    for index in 0..big.tasks {
        let (lane, boxes, finished) = (lane.clone(), boxes.clone(), finished.clone());
        team.add(move || ask(&lane, big, index, &boxes, &finished))?;
    }
    {
        let (lane, boxes) = (lane.clone(), boxes.clone());
        team.add(move || {
            for _ in 0..big.tasks {
                lane.recv(&finished);
            }
            boxes.iter().for_each(|own| lane.send(own, Big::LAST));
            0
        })?;
    }
    team.race_sum(meter)
}

/// Sends requests one after another, and answers those of others until all tasks have their
/// answers. Returns how many answers this task got.
fn ask<L: Blocking>(
    lane: &L,
    big: Big,
    index: u64,
    boxes: &[L::Channel],
    finished: &L::Channel,
) -> u64 {
    let own = &boxes[index as usize];
    let (mut x, mut answers) = (lehmer::after(index, 1), 0);
    lane.send(&boxes[big.asked(index, x)], index + 1);
    loop {
        match lane.recv(own) {
            Big::LAST => return answers,
            message if message == big.answer() => {
                answers += 1;
                if answers < big.pings {
                    x = lehmer::next(x);
                    lane.send(&boxes[big.asked(index, x)], index + 1);
                } else {
                    lane.send(finished, 1);
                }
            }
            asker => lane.send(&boxes[asker as usize - 1], big.answer()),
        }
    }
}

pub(super) fn philosophers<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (tasks, rounds) = (
        order.count("tasks_count"),
        order.get("rounds_count") * order.iterations,
    );
    let meter = Meter::begin(L::PROCESSES);
    let forks = (0..tasks)
        .map(|_| lane.lock())
        .collect::<Result<Vec<_>, _>>()?;
    let mut team = Team::new(lane)?;
    for index in 0..tasks {
        let neighbour = (index + 1) % tasks;
        let (lane, low, high) = (
            lane.clone(),
            forks[index.min(neighbour)].clone(),
            forks[index.max(neighbour)].clone(),
        );
        team.add(move || {
            let mut meals = 0;
            for _ in 0..rounds {
                lane.locked(&low, |_| lane.locked(&high, |_| meals += 1));
            }
            meals
        })?;
    }
    team.race_sum(meter)
}

pub(super) fn messaging<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (senders, loops) = (
        order.get("senders_count"),
        order.get("loops_count") * order.iterations,
    );
    let meter = Meter::begin(L::PROCESSES);
    let mut team = Team::new(lane)?;
    for _ in 0..order.get("groups_count") {
        let inboxes = (0..senders)
            .map(|_| lane.channel(order.count("capacity_count")))
            .collect::<Result<Vec<_>, _>>()?;
        for inbox in inboxes.clone() {
            let lane = lane.clone();
            team.add(move || (0..senders * loops).map(|_| lane.recv(&inbox)).sum())?;
        }
        for _ in 0..senders {
            let (lane, inboxes) = (lane.clone(), inboxes.clone());
            team.add(move || {
                for _ in 0..loops {
                    for inbox in &inboxes {
                        lane.send(inbox, 1);
                    }
                }
                0
            })?;
        }
    }
    team.race_sum(meter)
}

pub(super) fn brigade<L: Blocking>(lane: &L, order: &Order) -> Result<Outcome, Failure> {
    let (tasks, rounds) = (
        order.count("tasks_count"),
        order.get("rounds_count") * order.iterations,
    );
    let mut meter = Meter::begin(L::PROCESSES);
    let pipes = (0..=tasks)
        .map(|_| lane.pipe())
        .collect::<Result<Vec<_>, _>>()?;
    let mut team = Team::new(lane)?;
    for neighbours in pipes.windows(2) {
        let (lane, from, to) = (lane.clone(), neighbours[0].clone(), neighbours[1].clone());
        team.add(move || {
            for _ in 0..rounds {
                let number = lane.read(&from);
                lane.write(&to, number + 1);
            }
            0
        })?;
    }
    team.assemble();
    team.start();
    let checksum = meter.time(|| {
        let mut number = 0;
        for _ in 0..rounds {
            lane.write(&pipes[0], number);
            number = lane.read(&pipes[tasks]);
        }
        number
    });
    team.join()?;
    Ok(Outcome::new(meter.finish(), checksum))
}
