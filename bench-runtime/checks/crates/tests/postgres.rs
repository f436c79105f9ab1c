//! A real PostgreSQL, queried by goroutines through tokio-postgres.
//!
//! If the server cannot be started, the tests are skipped, or fail if `REQUIRE_POSTGRES` is set.

mod modes;
mod postgres_server;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bench_runtime::context::{Context, ContextError};
use bench_runtime::future::{block_on, block_on_with};
use bench_runtime::{chan, go, select};

#[expect(dead_code, reason = "its main is the example's")]
#[path = "../examples/postgres_writer.rs"]
mod postgres_writer;

use modes::each_mode;
use postgres_server::Server;
use postgres_writer::{Pool, write};

#[test]
fn goroutines_use_a_pool_a_context_and_a_select() {
    let Some(server) = Server::find() else {
        return;
    };
    let config = server.config();
    let tokio = modes::tokio();
    each_mode(|runtime| {
        runtime.run_scoped(|| {
            let pool = Pool::open(&config, 3, tokio.handle()).expect("it connects");
            let written = write(&pool, 8, 50).expect("it writes");
            assert_eq!(written, (8 * 50, 8 * (0..50).sum::<i64>()));
            ends_a_query_by_context(&pool);
            selects_among_an_answer_and_a_channel(&pool);
            rolls_back_a_dropped_transaction(&pool);
        });
    });
}

/// The end of the context drops the query's future; the connection answers the next query.
fn ends_a_query_by_context(pool: &Pool) {
    pool.with(|client| {
        let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(20));
        let cancel = client.cancel_token();
        let late = block_on_with(&ctx, client.batch_execute("select pg_sleep(60)"));
        assert!(
            matches!(late, Err(ContextError::DeadlineExceeded)),
            "{late:?}"
        );
        // The server runs the query until it is cancelled.
        send_cancel(cancel);
        let row = block_on(client.query_one("select 1 + $1::int", &[&2])).expect("an answer");
        assert_eq!(row.get::<_, i32>(0), 3);
    });
}

/// Cancels the query in a tokio runtime of its own, in a blocking call, because a goroutine must
/// not park in tokio's context.
fn send_cancel(cancel: tokio_postgres::CancelToken) {
    let sent = bench_runtime::blocking(move || {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("tokio starts");
        tokio.block_on(cancel.cancel_query(tokio_postgres::NoTls))
    });
    sent.expect("the server hears it");
}

fn selects_among_an_answer_and_a_channel(pool: &Pool) {
    let (ticks, clock) = chan(0);
    let ticker = go(move || (0..10).for_each(|n| ticks.send(n).expect("it is heard")));
    pool.with(|client| {
        let mut answer = Box::pin(client.query_one("select 7 from pg_sleep(0.02)", &[]));
        let (mut answered, mut heard) = (None, 0);
        while answered.is_none() || heard < 10 {
            select! {
                future(&mut answer, if answered.is_none()) -> row => {
                    answered = Some(row.expect("an answer").get::<_, i32>(0));
                }
                recv((heard < 10).then_some(&clock)) -> n => {
                    assert_eq!(n, Some(heard));
                    heard += 1;
                }
            }
        }
        assert_eq!((answered, heard), (Some(7), 10));
    });
    ticker.join().expect("it does not panic");
}

fn rolls_back_a_dropped_transaction(pool: &Pool) {
    pool.with(|client| {
        let before: i64 = block_on(client.query_one("select count(*) from rows", &[]))
            .expect("an answer")
            .get(0);
        block_on(async {
            let transaction = client.transaction().await?;
            transaction.execute("delete from rows", &[]).await
        })
        .expect("it deletes");
        let after: i64 = block_on(client.query_one("select count(*) from rows", &[]))
            .expect("an answer")
            .get(0);
        assert_eq!(after, before);
    });
}

fn wait_for(script: &str, limit: Duration) {
    let mut server = Command::new("sh");
    let _ = postgres_server::start(server.args(["-c", script]), Path::new("/none"), limit);
}

#[test]
#[should_panic(
    expected = "answers no query at /none/.s.PGSQL.5432: exit status: 3. It said:\nno memory"
)]
fn server_that_ends_is_reported_with_what_it_said() {
    wait_for("echo no memory >&2; exit 3", Duration::MAX);
}

#[test]
#[should_panic(expected = "answers no query at /none/.s.PGSQL.5432: not after 50ms")]
fn server_that_is_never_ready_is_reported() {
    wait_for("exec sleep 1000", Duration::from_millis(50));
}
