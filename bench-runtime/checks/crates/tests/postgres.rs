//! A real PostgreSQL, asked by goroutines through tokio-postgres.
//!
//! The test starts a server of its own, on a socket in a folder of its own. Where none is
//! installed it is skipped, and fails under `REQUIRE_POSTGRES=1`.

mod modes;

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bench_runtime::context::{Context, ContextError};
use bench_runtime::future::{block_on, block_on_with};
use bench_runtime::{chan, go, select};
use tempfile::TempDir;

#[expect(dead_code, reason = "its main is the example's")]
#[path = "../examples/postgres_writer.rs"]
mod postgres_writer;

use modes::each_mode;
use postgres_writer::{Pool, write};

/// A server, until it is dropped.
struct Server {
    process: Child,
    folder: TempDir,
}

/// Where Debian and others put the programs, the newest first; else those of `PATH`.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_default()
}

/// The user and group that the server runs as: it refuses to be root.
fn user() -> Option<(u32, u32)> {
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let users = fs::read_to_string("/etc/passwd").ok().filter(|_| is_root)?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

impl Server {
    /// `Err` says why there is none.
    fn start() -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("pg")
            .tempdir_in("/tmp")
            .map_err(|e| e.to_string())?;
        let data = folder.path().join("data");
        let user = user();
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).map_err(|e| e.to_string())?;
        }
        let program = |name: &str| {
            let mut command = Command::new(programs().join(name));
            command.current_dir(folder.path()).stdin(Stdio::null());
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        let made = program("initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--pgdata",
            ])
            .arg(&data)
            .output()
            .map_err(|e| format!("no initdb: {e}; apt-get install postgresql"))?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let process = program("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("no postgres: {e}"))?;
        let server = Self { process, folder };
        let (begun, socket) = (Instant::now(), server.socket());
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    fn config(&self) -> String {
        let folder: &Path = self.folder.path();
        format!("host={} user=postgres dbname=postgres", folder.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT: at once, with all its processes.
        let number = self.process.id().to_string();
        let stop = Command::new("kill").args(["-QUIT", &number]).status();
        if !stop.is_ok_and(|status| status.success()) {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

#[test]
fn goroutines_write_through_a_pool_wait_with_a_context_and_select() {
    let server = match Server::start() {
        Ok(server) => server,
        Err(why) => {
            assert!(std::env::var_os("REQUIRE_POSTGRES").is_none(), "{why}");
            eprintln!("skipped: {why}");
            return;
        }
    };
    let config = server.config();
    let tokio = modes::tokio();
    each_mode(|runtime| {
        runtime.run_scoped(|| {
            let pool = Pool::open(&config, 3, tokio.handle()).expect("it connects");
            let written = write(&pool, 8, 50).expect("it writes");
            assert_eq!(written, (8 * 50, 8 * (0..50).sum::<i64>()));
            gives_up_by_context(&pool);
            selects_among_an_answer_and_a_channel(&pool);
            rolls_back_what_is_dropped(&pool);
        });
    });
}

/// The query is dropped, and the connection answers the next one.
fn gives_up_by_context(pool: &Pool) {
    pool.with(|client| {
        let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(20));
        let cancel = client.cancel_token();
        let late = block_on_with(&ctx, client.batch_execute("select pg_sleep(60)"));
        assert!(
            matches!(late, Err(ContextError::DeadlineExceeded)),
            "{late:?}"
        );
        // What the server does goes on until it is told.
        tell_to_cancel(cancel);
        let row = block_on(client.query_one("select 1 + $1::int", &[&2])).expect("an answer");
        assert_eq!(row.get::<_, i32>(0), 3);
    });
}

/// It needs tokio's context: a thread of its own with a runtime of its own.
fn tell_to_cancel(cancel: tokio_postgres::CancelToken) {
    let told = bench_runtime::blocking(move || {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("tokio starts");
        tokio.block_on(cancel.cancel_query(tokio_postgres::NoTls))
    });
    told.expect("the server hears it");
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

fn rolls_back_what_is_dropped(pool: &Pool) {
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
