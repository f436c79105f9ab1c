//! The cheapest possible echo server, to find the limit of the load generator: an epoll loop on
//! each thread, and one read and one write for a burst.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use anyhow::Context;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::helper::Listening;
use crate::host::{affinity, backlog, open_files};

/// Prints the server's address, accepts `connections`, and serves them by one thread on each of
/// `cpus` until all are closed. Blocks the thread.
///
/// # Errors
///
/// When it cannot listen, or may not use the CPUs.
pub fn run(connections: usize, cpus: &[usize], output: &mut impl Write) -> anyhow::Result<()> {
    let _ = open_files::raise_limit();
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on the loopback")?;
    backlog::lengthen(&listener)?;
    let address = listener.local_addr()?;
    writeln!(output, "{}", serde_json::to_string(&Listening { address })?)?;
    output.flush()?;
    let mut streams_by_cpu: Vec<Vec<TcpStream>> = cpus.iter().map(|_| Vec::new()).collect();
    for number in 0..connections {
        let (stream, _) = listener.accept().context("accepting a connection")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        streams_by_cpu[number % cpus.len()].push(stream);
    }
    thread::scope(|scope| {
        let threads: Vec<_> = streams_by_cpu
            .into_iter()
            .zip(cpus)
            .map(|(share, &cpu)| scope.spawn(move || serve(share, cpu)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| match thread.join() {
                Ok(served) => served,
                Err(payload) => std::panic::resume_unwind(payload),
            })
    })
}

fn serve(mut streams: Vec<TcpStream>, cpu: usize) -> anyhow::Result<()> {
    affinity::pin_where_allowed(&[cpu])
        .with_context(|| format!("pinning the echo server to CPU {cpu}"))?;
    let poller = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (index, stream) in streams.iter().enumerate() {
        poller.add(stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
    }
    let mut events = vec![EpollEvent::empty(); 256];
    let mut block = vec![0; 64 << 10];
    let mut open = streams.len();
    while open > 0 {
        let count = match poller.wait(&mut events, EpollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            other => other?,
        };
        for event in &events[..count] {
            let stream = &mut streams[event.data() as usize];
            let ended = match stream.read(&mut block) {
                Ok(0) => true,
                // The generator reads all the time, so the socket's buffer does not fill.
                Ok(size) => stream.write_all(&block[..size]).is_err(),
                Err(error) => {
                    !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
                }
            };
            if ended {
                poller.delete(&*stream)?;
                open -= 1;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Plan, echo_client};
    use std::io::BufRead;

    #[test]
    fn every_request_comes_back_right_in_open_and_closed_loops_and_in_bursts() {
        for (requests, offered_per_s, burst, load_percent) in [
            (1_000, 0, 1, 0),
            (1_000, 0, 8, 0),
            (500, 50_000, 1, 0),
            (500, 0, 1, 50),
        ] {
            let (mut reader, mut writer) = std::io::pipe().unwrap();
            let cpus = affinity::allowed();
            let server = thread::spawn(move || run(7, &cpus, &mut writer));
            let mut line = String::new();
            std::io::BufReader::new(&mut reader)
                .read_line(&mut line)
                .unwrap();
            let listening: serde_json::Value = serde_json::from_str(&line).unwrap();
            let plan = Plan {
                address: listening["address"].as_str().unwrap().parse().unwrap(),
                connections: 7,
                payload_bytes: 300,
                requests,
                offered_per_s,
                load_percent,
                burst,
                workload: None,
            };
            let report = echo_client::run(&plan).unwrap();
            assert_eq!(
                (report.checksum, report.operations_count),
                (requests, requests)
            );
            assert!(report.metrics["load_headroom_ratio"] > 0.0, "{report:?}");
            let is_open = offered_per_s + load_percent > 0;
            assert_eq!(report.latency.corrected, is_open, "{report:?}");
            let capacity = report.metrics.get("capacity_per_s").copied();
            assert_eq!(capacity.is_some(), load_percent > 0, "{report:?}");
            if let Some(capacity) = capacity {
                let offered = report.latency.offered_per_s.unwrap();
                assert!((offered - capacity / 2.0).abs() <= 1.0, "{report:?}");
            }
            server.join().unwrap().unwrap();
        }
    }
}
