//! PostgreSQL as the backend of `service.http`. Each lane uses the usual client of its runtime.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::time;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, Error, NoTls, Row, Statement};

use super::{ITEMS, Record, Route};
use crate::shapes::Database;

/// The variable that has the address of the database.
pub const DATABASE: &str = "THREADBARE_DATABASE";
const QUERY: &str = "SELECT key, value FROM threadbare_items WHERE key = ANY($1)";
/// The lanes that have a client of PostgreSQL.
pub const LANES: [&str; 8] = [
    "threadbare",
    "threadbare-migrating",
    "thread",
    "thread-pool",
    "process",
    "process-pool",
    "tokio",
    "tokio-ct",
];
const TIMEOUT: Duration = Duration::from_secs(30);

/// Writes all records into the table `threadbare_items` at `url`, and creates the table if
/// necessary. Returns how many connections the database allows. Blocks the thread.
///
/// # Errors
///
/// If `url` is no address of PostgreSQL, no server listens there, or the server refuses.
pub fn fill(url: &str) -> anyhow::Result<u64> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for item in 0..ITEMS {
        let record = serde_json::to_string(&Record::of(item))?;
        for route in [Route::Cheap, Route::Slow] {
            keys.push(route.key(item));
            values.push(record.clone());
        }
    }
    let config: Config = url.parse().context("this is no address of a PostgreSQL")?;
    let config = with_timeout(config, TIMEOUT);
    one_thread()?.block_on(async {
        let connected = match time::timeout(TIMEOUT, config.connect(NoTls)).await {
            Ok(connected) => connected.map_err(anyhow::Error::from),
            Err(late) => Err(late.into()),
        };
        let (client, connection) =
            connected.context("no PostgreSQL can be reached at this address")?;
        tokio::spawn(connection);
        client
            .batch_execute(
                "CREATE TABLE IF NOT EXISTS threadbare_items (key text PRIMARY KEY, value text NOT NULL)",
            )
            .await
            .context("making the table threadbare_items")?;
        client
            .execute(
                "INSERT INTO threadbare_items SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                &[&keys, &values],
            )
            .await
            .context("filling the table threadbare_items")?;
        let allowed = client.query_one("SHOW max_connections", &[]).await?;
        Ok(allowed.get::<_, &str>(0).parse()?)
    })
}

fn one_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Neither connecting nor a query may take longer than `timeout`.
fn config(url: &str, timeout: Duration) -> io::Result<Config> {
    let config = url.parse().map_err(failed)?;
    Ok(with_timeout(config, timeout))
}

fn with_timeout(mut config: Config, timeout: Duration) -> Config {
    let given = config.get_options().unwrap_or_default();
    let options = format!(
        "{given} -c statement_timeout={}",
        timeout.as_millis().max(1)
    );
    config.options(options).connect_timeout(timeout);
    config
}

/// The values in the order of `keys`; `None` if a key has no value.
fn in_order(keys: &[String], rows: &[Row]) -> Option<Vec<Vec<u8>>> {
    let found: HashMap<&str, &str> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let value = |key: &String| found.get(key.as_str()).map(|text| text.as_bytes().to_vec());
    keys.iter().map(value).collect()
}

fn failed(error: Error) -> io::Error {
    let kind = match error.code() {
        Some(code) if *code == SqlState::QUERY_CANCELED => ErrorKind::TimedOut,
        _ => ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// The client of tasks on tokio. Connecting needs tokio's runtime, which then runs the connection;
/// queries need no runtime.
pub(crate) struct Async {
    client: tokio_postgres::Client,
    query: Statement,
}

impl Async {
    pub(crate) async fn connect(url: &str, timeout: Duration) -> io::Result<Self> {
        let connected = config(url, timeout)?.connect(NoTls).await;
        let (client, connection) = connected.map_err(failed)?;
        // The connection ends with the client, which returns its errors.
        tokio::spawn(connection);
        let query = client.prepare(QUERY).await.map_err(failed)?;
        Ok(Self { client, query })
    }

    /// `None` if a key has no value.
    pub(crate) async fn get(&self, keys: &[String]) -> io::Result<Option<Vec<Vec<u8>>>> {
        let rows = self.client.query(&self.query, &[&keys]).await;
        Ok(in_order(keys, &rows.map_err(failed)?))
    }
}

pub(crate) enum NoClient {}

impl Database for NoClient {
    const EXISTS: bool = false;

    fn connect(_url: &str, _timeout: Duration) -> io::Result<Self> {
        Err(ErrorKind::Unsupported.into())
    }

    fn get(&mut self, _keys: &[String]) -> io::Result<Option<Vec<Vec<u8>>>> {
        match *self {}
    }
}

/// The client of tasks that block their thread: a runtime for each connection, as in the crate
/// `postgres`, which has no time-out for an answer.
pub(crate) struct Client {
    client: Async,
    runtime: Runtime,
    timeout: Duration,
}

impl Client {
    fn wait<T>(
        runtime: &Runtime,
        timeout: Duration,
        future: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let waited = runtime.block_on(async { time::timeout(timeout, future).await });
        waited.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    }
}

impl Database for Client {
    fn connect(url: &str, timeout: Duration) -> io::Result<Self> {
        let runtime = one_thread()?;
        let client = Self::wait(&runtime, timeout, Async::connect(url, timeout))?;
        Ok(Self {
            client,
            runtime,
            timeout,
        })
    }

    fn get(&mut self, keys: &[String]) -> io::Result<Option<Vec<Vec<u8>>>> {
        Self::wait(&self.runtime, self.timeout, self.client.get(keys))
    }
}
