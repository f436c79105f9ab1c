//! The suite's backend of `service.http` as a program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Requests a key that has no value.
fn request(stream: &mut TcpStream) {
    stream.write_all(b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"$-1\r\n");
}

#[test]
fn backend_without_a_free_descriptor_still_serves_its_connections_and_accepts_again() {
    const REQUESTS: u32 = 100;
    /// The pause of accepting.
    const PAUSE: Duration = Duration::from_millis(10);
    let script = r#"ulimit -n 40; exec "$0" backend delay_ns=0 spread_ns=0 slow_ns=0 backend=0 steps_count=1"#;
    let mut backend = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_threadbare-lane")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(backend.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let said: Value = serde_json::from_str(&line).unwrap();
    let address = said["address"].as_str().unwrap();
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let limit = Some(Duration::from_secs(60));
        stream.set_read_timeout(limit).unwrap();
        stream
    };
    let mut first = connect();
    request(&mut first);
    let mut more: Vec<_> = (0..60).map(|_| connect()).collect();
    let began = Instant::now();
    (0..REQUESTS).for_each(|_| request(&mut first));
    // A pause for all connections would delay each request.
    assert!(began.elapsed() < REQUESTS * PAUSE, "{:?}", began.elapsed());
    let mut last = more.pop().unwrap();
    drop(more);
    request(&mut last);
    drop(backend.stdin.take());
    assert!(backend.wait().unwrap().success());
}
