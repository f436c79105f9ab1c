//! The examples, run with their answers checked.

use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bench_runtime::context::Context;
use bench_runtime::net::{TcpListener, TcpStream};
use bench_runtime::{Runtime, go, time};

#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../examples/crawler.rs"]
mod crawler;

fn on_each_runtime(main: fn()) {
    for procs in [1, 2] {
        for builder in [Runtime::builder(), Runtime::builder().migrating()] {
            // SAFETY: what runs here parks inside no thread-local's initialiser or scope,
            // and holds nothing of a thread over a park.
            let runtime = unsafe { builder.procs(procs).build() }.expect("it starts");
            runtime.run(main);
        }
    }
}

/// Pages 0 to 49 have links to each other and to `/missing`, which is not found. A page with a
/// larger number is never answered.
fn page(path: &str) -> Option<(&'static str, String)> {
    let link = |to: u64| format!("<a href=\"/{to}\">");
    match path[1..].parse::<u64>() {
        Ok(number @ 0..50) => {
            let elsewhere = "<a href=\"http://elsewhere/\"><a href=\"/missing\">".to_owned();
            let links = [(number + 1) % 50, number * 7 % 50].map(link).concat() + &elsewhere;
            Some(("200 OK", links))
        }
        Ok(_) => None,
        Err(_) => Some(("404 Not Found", link(3))),
    }
}

#[derive(Default)]
struct Asked {
    running: AtomicUsize,
    /// The most requests at the same time.
    most: AtomicUsize,
    total: AtomicUsize,
}

fn serve(stream: &TcpStream, asked: &Asked) -> std::io::Result<()> {
    let mut head = BufReader::new(stream).lines();
    let first = head.next().expect("a request")?;
    while head
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let path = first.split(' ').nth(1).expect("a path");
    asked.total.fetch_add(1, Ordering::SeqCst);
    let running = asked.running.fetch_add(1, Ordering::SeqCst) + 1;
    asked.most.fetch_max(running, Ordering::SeqCst);
    time::sleep(Duration::from_millis(2));
    asked.running.fetch_sub(1, Ordering::SeqCst);
    let Some((status, text)) = page(path) else {
        time::sleep(Duration::from_secs(1_000));
        return Ok(());
    };
    write!(
        &mut &*stream,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
}

fn server() -> (String, Arc<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Asked::default());
    let theirs = asked.clone();
    go!(for stream in listener.incoming().flatten() {
        let asked = theirs.clone();
        go!(serve(&stream, &asked).unwrap());
    });
    (address, asked)
}

#[test]
fn crawler_sees_each_page_once_and_ends_with_its_context() {
    on_each_runtime(|| {
        let tokio = tokio::runtime::Runtime::new().unwrap();
        let (host, asked) = server();
        let everything = Context::background();
        let seen = crawler::crawl(&everything, tokio.handle().clone(), &host, "/0", 3);
        let mut right: Vec<_> = (0..50).map(|n| (format!("/{n}"), Ok(200))).collect();
        right.push(("/missing".to_owned(), Ok(404)));
        right.sort();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), right);
        assert!(asked.most.load(Ordering::SeqCst) <= 3);
        assert_eq!(asked.total.load(Ordering::SeqCst), 51);

        let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(50));
        let seen = crawler::crawl(&ctx, tokio.handle().clone(), &host, "/99", 3);
        let late = Err("context deadline exceeded".to_owned());
        assert_eq!(
            seen.into_iter().collect::<Vec<_>>(),
            [("/99".to_owned(), late)]
        );
        bench_runtime::blocking(move || tokio.shutdown_background());
    });
}
