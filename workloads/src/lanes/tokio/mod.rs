//! Tokio: tasks without stacks, on threads that steal from each other or on
//! one.
//!
//! The main task is a spawned one too: the future that blocks the lane's
//! thread would not be scheduled as tasks are.

mod io;
mod memory;
mod share;
mod spawn;
mod switch;
mod team;

use ::tokio::runtime::{Builder, Runtime};

use crate::catalogue::{Shape, Workload};
use crate::lane::{Entry, Failure, Lane, Order, Outcome};

/// Threads that steal tasks from each other.
pub(super) const MULTI_THREAD: Entry = Entry {
    name: "tokio",
    title: "tokio tasks, multi-thread runtime with a thread for each CPU",
    runtime,
    refuses,
    start: |_| {
        Ok(Box::new(Tokio {
            flavour: Flavour::MultiThread,
            current: None,
        }))
    },
};

/// One thread.
pub(super) const CURRENT_THREAD: Entry = Entry {
    name: "tokio-ct",
    title: "tokio tasks, current-thread runtime",
    runtime,
    refuses,
    start: |_| {
        Ok(Box::new(Tokio {
            flavour: Flavour::CurrentThread,
            current: None,
        }))
    },
};

fn runtime() -> String {
    format!("tokio {}", super::locked_version("tokio"))
}

fn refuses(workload: &Workload) -> Option<&'static str> {
    match workload.shape {
        Shape::ForkResident => Some("its tasks are no processes"),
        Shape::Placement => Some("the runtime, not the task, decides on which CPU a task runs"),
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavour {
    MultiThread,
    CurrentThread,
}

struct Tokio {
    flavour: Flavour,
    /// The last sample's runtime and its number of threads.
    current: Option<(Runtime, usize)>,
}

impl Lane for Tokio {
    fn run(&mut self, order: &Order) -> Result<Outcome, Failure> {
        let threads = order.threads();
        if self.flavour == Flavour::CurrentThread
            && threads > 1
            && matches!(order.workload.shape, Shape::Chunks(_))
        {
            return Err(Failure::not_supported(
                "a current-thread runtime runs one chunk at a time; ask for one worker",
            ));
        }
        let runtime = match self.current.take() {
            Some((runtime, count)) if count == threads => runtime,
            _ => self.build(threads).map_err(|error| {
                Failure::host("starting the runtime", &error, "ulimit -u and ulimit -n")
            })?,
        };
        let order = order.clone();
        let result = runtime.block_on(async { ::tokio::spawn(run(order)).await });
        let outcome = result.unwrap_or_else(|error| Err(team::failure(error)));
        if outcome.is_ok() {
            self.current = Some((runtime, threads));
        }
        // Else the runtime ends here, and with it all tasks that the sample
        // has left behind.
        outcome
    }
}

impl Tokio {
    fn build(&self, threads: usize) -> std::io::Result<Runtime> {
        match self.flavour {
            Flavour::MultiThread => Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_all()
                .build(),
            Flavour::CurrentThread => Builder::new_current_thread().enable_all().build(),
        }
    }
}

/// Takes a sample of any shape.
async fn run(order: Order) -> Result<Outcome, Failure> {
    let order = &order;
    match order.workload.shape {
        Shape::ForkJoin => spawn::fork_join(order).await,
        Shape::FirstInstruction => spawn::first_instruction(order).await,
        Shape::Skynet => spawn::skynet(order).await,
        Shape::ForkResident | Shape::Placement => Err(Failure::not_supported(
            refuses(order.workload).unwrap_or_default(),
        )),
        Shape::Yield => switch::yields(order).await,
        Shape::PingPong => switch::ping_pong(order).await,
        Shape::PipePingPong => switch::pipe_ping_pong(order).await,
        Shape::Ring => switch::ring(order, 0).await,
        Shape::WorkingSet => switch::ring(order, order.get("size_bytes")).await,
        Shape::Hog => switch::hog(order).await,
        Shape::IdleWake => switch::idle_wake(order).await,
        Shape::Parked | Shape::Deep | Shape::Shrink => memory::hold(order).await,
        Shape::Counter => share::counter(order).await,
        Shape::Pipeline => share::pipeline(order).await,
        Shape::Sieve => share::sieve(order).await,
        Shape::FanIn => share::fan_in(order).await,
        Shape::WorkerPool => share::worker_pool(order).await,
        Shape::BoundedBuffer => share::bounded_buffer(order).await,
        Shape::Chameneos => share::chameneos(order).await,
        Shape::Philosophers => share::philosophers(order).await,
        Shape::Messaging => share::messaging(order).await,
        Shape::Brigade => share::brigade(order).await,
        Shape::Chunks(kernel) => spawn::chunks(order, kernel).await,
        Shape::Sleepers => io::sleepers(order).await,
        Shape::TcpEcho => io::tcp_echo(order).await,
        Shape::Fanout => io::fanout(order).await,
        Shape::PipeRing => io::pipe_ring(order).await,
        Shape::FileRead => io::file_read(order).await,
        Shape::Email => io::email(order).await,
    }
}
