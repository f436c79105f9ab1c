//! A chat server on TCP: each client's lines go to all others. One goroutine owns the list of
//! clients; two serve each client. After "The Go Programming Language" by A. Donovan and B.
//! Kernighan.
//!
//! `cargo run --release --example chat_server -- 127.0.0.1:8000`, then
//! `nc 127.0.0.1 8000` in several terminals.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;

use bench_runtime::net::{TcpListener, TcpStream};
use bench_runtime::{Receiver, Runtime, Sender, chan, go};

enum Event {
    Entered(SocketAddr, Sender<String>),
    Said(SocketAddr, String),
    Left(SocketAddr),
}

fn broadcast(events: &Receiver<Event>) {
    let mut clients: HashMap<SocketAddr, Sender<String>> = HashMap::new();
    for event in events {
        let (from, text) = match event {
            Event::Entered(who, outbox) => {
                let _ = outbox.try_send(format!("you are {who}"));
                clients.insert(who, outbox);
                (who, format!("{who} has arrived"))
            }
            Event::Said(who, text) => (who, format!("{who}: {text}")),
            Event::Left(who) => {
                clients.remove(&who);
                (who, format!("{who} has left"))
            }
        };
        for (_, outbox) in clients.iter().filter(|(who, _)| **who != from) {
            // If a client does not read, its outbox fills up, and it misses further messages.
            let _ = outbox.try_send(text.clone());
        }
    }
}

fn serve(stream: &TcpStream, who: SocketAddr, events: &Sender<Event>) -> io::Result<()> {
    let (outbox, texts) = chan::<String>(100);
    let mut to_client = stream.try_clone()?;
    go! {
        for text in texts {
            if writeln!(to_client, "{text}").is_err() {
                return;
            }
        }
    }
    let _ = events.send(Event::Entered(who, outbox));
    for line in BufReader::new(stream).lines() {
        let _ = events.send(Event::Said(who, line?));
    }
    Ok(())
}

pub(crate) fn chat(listener: &TcpListener) {
    let (events, inbox) = chan(0);
    go!(broadcast(&inbox));
    for stream in listener.incoming().flatten() {
        // The socket of a client that has left already has no peer address.
        let Ok(who) = stream.peer_addr() else {
            continue;
        };
        let events = events.clone();
        go! {
            // An error also means that the client has left.
            let _ = serve(&stream, who, &events);
            let _ = events.send(Event::Left(who));
        }
    }
}

fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
    unsafe { Runtime::builder().build() }?.run(move || {
        let listener = TcpListener::bind(&address)?;
        println!("listening on {}", listener.local_addr()?);
        chat(&listener);
        Ok(())
    })
}
