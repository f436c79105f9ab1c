//! Follows the links of a host's pages with hyper's client. tokio runs the sockets, and a goroutine
//! waits for each page.
//!
//! `cargo run --release -p bench-runtime-crates --example crawler -- 127.0.0.1:8000`

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bench_runtime::context::Context;
use bench_runtime::io::stdout;
use bench_runtime::sync::{Mutex, Semaphore, WaitGroup};
use bench_runtime::{Runtime, future};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// tokio runs this.
async fn get(host: String, path: String) -> Result<(u16, String), Failure> {
    let io = TokioIo::new(TcpStream::connect(&host).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", host);
    let response = sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn links(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split("href=\"").skip(1);
    let links = quoted.filter_map(|rest| rest.split('"').next());
    links.filter(|link| link.starts_with('/'))
}

struct Crawl {
    ctx: Context,
    tokio: Handle,
    host: String,
    slots: Semaphore,
    pages: WaitGroup,
    /// `None` while the request runs.
    seen: Mutex<BTreeMap<String, Option<Result<u16, String>>>>,
}

impl Crawl {
    fn visit(self: &Arc<Self>, path: &str) {
        let mut seen = self.seen.lock();
        if seen.contains_key(path) {
            return;
        }
        seen.insert(path.to_owned(), None);
        drop(seen);
        let (crawl, path) = (self.clone(), path.to_owned());
        self.pages.go(move || {
            let result = crawl.fetch(&path);
            crawl.seen.lock().insert(path, Some(result));
        });
    }

    fn fetch(self: &Arc<Self>, path: &str) -> Result<u16, String> {
        let slot = self.slots.acquire_with(&self.ctx, 1);
        let _slot = slot.map_err(|error| error.to_string())?;
        let page = self.tokio.spawn(get(self.host.clone(), path.to_owned()));
        let page = future::block_on_with(&self.ctx, page).map_err(|error| error.to_string())?;
        let page = page.map_err(|error| error.to_string())?;
        let (status, text) = page.map_err(|error| error.to_string())?;
        links(&text).for_each(|link| self.visit(link));
        Ok(status)
    }
}

/// At most `width` requests run at a time.
pub(crate) fn crawl(
    ctx: &Context,
    tokio: Handle,
    host: &str,
    start: &str,
    width: usize,
) -> BTreeMap<String, Result<u16, String>> {
    let crawl = Arc::new(Crawl {
        ctx: ctx.clone(),
        tokio,
        host: host.to_owned(),
        slots: Semaphore::new(width),
        pages: WaitGroup::new(),
        seen: Mutex::default(),
    });
    crawl.visit(start);
    crawl.pages.wait();
    let seen = std::mem::take(&mut *crawl.seen.lock());
    let done = |(path, result): (_, Option<_>)| Some((path, result?));
    seen.into_iter().filter_map(done).collect()
}

fn main() -> Result<(), Failure> {
    let host = std::env::args().nth(1);
    let host = host.ok_or("say a host and its port, such as 127.0.0.1:8000")?;
    let tokio = tokio::runtime::Runtime::new()?;
    let handle = tokio.handle().clone();
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    unsafe { Runtime::builder().build() }?.run(move || {
        let (ctx, _cancel) = Context::background().with_timeout(Duration::from_secs(30));
        for (path, result) in crawl(&ctx, handle, &host, "/", 8) {
            match result {
                Ok(status) => writeln!(stdout(), "{status} {path}")?,
                Err(why) => writeln!(stdout(), "--- {path}: {why}")?,
            }
        }
        Ok(())
    })
}
