//! Goroutines that write to PostgreSQL through a pool of connections.
//!
//! `tokio-postgres` is async: its connections run on tokio, and a goroutine waits for its futures
//! with `block_on`. The pool is a channel: a receive takes a connection, a send puts it back.
//!
//! ```text
//! cargo run -p bench-runtime-crates --example postgres_writer -- "host=/run/postgresql user=postgres"
//! ```

use std::error::Error;
use std::time::Duration;

use bench_runtime::context::Context;
use bench_runtime::future::{block_on, block_on_with};
use bench_runtime::sync::ErrGroup;
use bench_runtime::{Receiver, Runtime, Sender, chan, scope};
use tokio::runtime::Handle;
use tokio_postgres::{Client, NoTls};

type Failure = Box<dyn Error + Send + Sync>;

pub(crate) struct Pool {
    give: Sender<Client>,
    take: Receiver<Client>,
}

impl Pool {
    pub(crate) fn open(config: &str, size: usize, tokio: &Handle) -> Result<Self, Failure> {
        let (give, take) = chan(size);
        for _ in 0..size {
            // tokio opens the connection, and then runs it.
            let config = config.to_owned();
            let connected = tokio.spawn(async move {
                let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
                tokio::spawn(connection);
                Ok::<_, tokio_postgres::Error>(client)
            });
            give.send(block_on(connected)??)
                .map_err(|_| "the pool is closed")?;
        }
        Ok(Self { give, take })
    }

    /// Blocks the goroutine until a connection is free.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Client) -> T) -> T {
        let mut client = self.take.recv().expect("the pool is open");
        let result = f(&mut client);
        self.give.send(client).expect("the pool is open");
        result
    }
}

/// Writes ten rows in each transaction. Returns how many rows the table has, and their sum.
pub(crate) fn write(pool: &Pool, writers: i64, rows: i64) -> Result<(i64, i64), Failure> {
    pool.with(|client| {
        block_on(client.batch_execute(
            "drop table if exists rows; create table rows (writer bigint, n bigint)",
        ))
    })?;
    let (ctx, _cancel) = Context::background().with_timeout(Duration::from_secs(60));
    scope(|s| {
        let group = ErrGroup::new();
        for writer in 0..writers {
            let ctx = ctx.clone();
            s.go_in(&group, move || -> Result<(), Failure> {
                let all: Vec<i64> = (0..rows).collect();
                for part in all.chunks(10) {
                    pool.with(|client| {
                        block_on_with(&ctx, async {
                            let transaction = client.transaction().await?;
                            for n in part {
                                let row = "insert into rows values ($1, $2)";
                                transaction.execute(row, &[&writer, n]).await?;
                            }
                            transaction.commit().await
                        })
                    })??;
                }
                Ok(())
            });
        }
        group.wait()
    })?;
    let row = pool.with(|client| {
        block_on(client.query_one("select count(*), sum(n)::bigint from rows", &[]))
    })?;
    Ok((row.get(0), row.get(1)))
}

fn main() -> Result<(), Failure> {
    let Some(config) = std::env::args().nth(1) else {
        return Err("the argument is a connection string: host=… user=…".into());
    };
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    // SAFETY: no goroutine parks with a guard of `Handle::enter`, or with any other value
    // of its thread.
    let runtime = unsafe { Runtime::builder().build() }?;
    let (count, sum) = runtime.run_scoped(|| {
        let pool = Pool::open(&config, 4, tokio.handle())?;
        write(&pool, 16, 100)
    })?;
    println!("{count} rows, whose sum is {sum}");
    Ok(())
}
