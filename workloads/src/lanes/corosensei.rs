//! corosensei: bare coroutines, which one thread resumes. They have no scheduler and cannot wait
//! for I/O.

use std::hint::black_box;
use std::time::Duration;

use ::corosensei::stack::DefaultStack;
use ::corosensei::{Coroutine, CoroutineResult};

use crate::catalogue::{Shape, Workload};
use crate::host::mappings;
use crate::lane::{Entry, Failure, Lane, Order, Outcome, Program};
use crate::measure::{Meter, study};
use crate::shapes;

const STACK_BYTES: usize = 64 << 10;

pub(super) const BARE: Entry = Entry {
    name: "corosensei",
    noun: "bare coroutine",
    title: "corosensei coroutines on one thread, resumed by hand, without a scheduler",
    program: Program::Plain,
    kernel_tasks: false,
    runtime: || format!("corosensei {}", super::locked_version("corosensei")),
    refuses,
    start: |_| Ok(Box::new(Bare { stacks: Vec::new() })),
};

fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::ForkJoin | Shape::Yield | Shape::PingPong | Shape::Parked => None,
        Shape::ForkResident => Some("only for processes"),
        _ => Some("the library has no scheduler, no channel and no poller, only the switch"),
    }
}

/// Gets a number at each resumption and yields a number at each suspension. Its result is a number
/// too.
type Routine = Coroutine<u64, u64, u64, DefaultStack>;

struct Bare {
    stacks: Vec<DefaultStack>,
}

impl Lane for Bare {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        match order.workload.shape {
            Shape::ForkJoin => self.fork_join(order),
            Shape::Yield => self.yields(order),
            Shape::PingPong => self.ping_pong(order),
            Shape::Parked => self.parked(order),
            _ => Err(Failure::not_supported(
                refuses(order.workload).unwrap_or_default(),
            )),
        }
    }
}

impl Bare {
    fn stack(&mut self) -> Result<DefaultStack, Failure> {
        match self.stacks.pop() {
            Some(stack) => Ok(stack),
            None => DefaultStack::new(STACK_BYTES).map_err(|error| {
                Failure::host("mapping a stack", &error, "vm.max_map_count and ulimit -v")
            }),
        }
    }

    fn finish(&mut self, mut routine: Routine) -> u64 {
        loop {
            if let CoroutineResult::Return(result) = routine.resume(0) {
                self.stacks.push(routine.into_stack());
                return result;
            }
        }
    }

    fn fork_join(&mut self, order: &Order) -> Result<Outcome, Failure> {
        let tasks = order.parameters.get("tasks_count").copied().unwrap_or(1);
        let mut meter = Meter::begin(false);
        let checksum = meter.time(|| -> Result<u64, Failure> {
            let mut sum = 0;
            for _ in 0..order.iterations {
                let mut started = Vec::with_capacity(tasks as usize);
                for index in 0..tasks {
                    started.push(Routine::with_stack(self.stack()?, move |_, _| index + 1));
                }
                for routine in started {
                    sum += self.finish(routine);
                }
            }
            Ok(sum)
        })?;
        Ok(Outcome::new(meter.finish(), checksum))
    }

    fn yields(&mut self, order: &Order) -> Result<Outcome, Failure> {
        let yields = order.get("yields_count") * order.iterations;
        let mut routines = Vec::new();
        for _ in 0..order.get("tasks_count") {
            routines.push(Routine::with_stack(self.stack()?, move |yielder, _| {
                let mut done = 0;
                // In other lanes the tasks wait at a gate instead.
                yielder.suspend(0);
                while done < yields {
                    yielder.suspend(done);
                    done += 1;
                }
                black_box(done)
            }));
        }
        for routine in &mut routines {
            routine.resume(0);
        }
        let mut meter = Meter::begin(false);
        meter.time(|| {
            for _ in 0..yields {
                for routine in &mut routines {
                    black_box(routine.resume(0));
                }
            }
        });
        let checksum = routines
            .into_iter()
            .map(|routine| self.finish(routine))
            .sum();
        Ok(Outcome::new(meter.finish(), checksum))
    }

    fn ping_pong(&mut self, order: &Order) -> Result<Outcome, Failure> {
        let rounds = order.get("rounds_count") * order.iterations;
        let mut other = Routine::with_stack(self.stack()?, move |yielder, first| {
            let mut value = first;
            for _ in 0..rounds {
                value = yielder.suspend(value + 1);
            }
            0
        });
        let mut meter = Meter::begin(false);
        let checksum = meter.time(|| {
            let mut value = 0;
            for _ in 0..rounds {
                if let CoroutineResult::Yield(answer) = other.resume(value) {
                    value = answer;
                }
            }
            value
        });
        self.finish(other);
        Ok(Outcome::new(meter.finish(), checksum))
    }

    fn parked(&mut self, order: &Order) -> Result<Outcome, Failure> {
        let count = order.get("tasks_count");
        // The first coroutine has costs of its own, so one is started before the reading.
        for routine in self.park(1)? {
            self.finish(routine);
        }
        self.stacks.clear();
        let mut meter = Meter::begin(false);
        study::read_memory()?;
        let waiting = meter.time(|| self.park(count))?;
        std::thread::sleep(Duration::from_nanos(order.get("wait_ns")));
        study::read_memory()?;
        let checksum = waiting
            .into_iter()
            .map(|routine| self.finish(routine))
            .sum();
        self.stacks.clear();
        Ok(Outcome::new(meter.finish(), checksum))
    }

    fn park(&mut self, count: u64) -> Result<Vec<Routine>, Failure> {
        let most = mappings::most_coroutines().map(|most| (most, mappings::LIMIT));
        shapes::check_limit(most, count)?;
        let mut waiting: Vec<Routine> = Vec::with_capacity(count as usize);
        for index in 0..count {
            let stack = match self.stack() {
                Ok(stack) => stack,
                Err(mut failure) => {
                    waiting.into_iter().for_each(|routine| {
                        self.finish(routine);
                    });
                    self.stacks.clear();
                    failure.message = format!(
                        "{index} of {count} tasks were waiting when the next could not be started: {}",
                        failure.message
                    );
                    return Err(failure);
                }
            };
            let mut routine = Routine::with_stack(stack, move |yielder, _| {
                yielder.suspend(0);
                index + 1
            });
            routine.resume(0);
            waiting.push(routine);
        }
        Ok(waiting)
    }
}
