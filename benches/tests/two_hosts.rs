//! `serve` and `load` on two hosts: two network namespaces, joined by a veth pair with a delay.
//!
//! The first test needs root and `ip`, and netem for the delay. Without them it is skipped, or
//! fails under `REQUIRE_NETNS=1` and `REQUIRE_NETEM=1`. The second test delays bytes on the
//! loopback and needs none of this.

mod lane;
mod program;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process::{Child, Command, Output};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use program::{text, threadbare};
use workloads::catalogue::{self, Size};
use workloads::host::reserved_port::ReservedPort;

/// Lanes of several languages and of each kind of task.
const LANES: [&str; 8] = [
    "thread",
    "threadbare",
    "tokio",
    "process",
    "go",
    "java-thread",
    "node-async",
    "python-asyncio",
];
/// The service's and the client's address, each in its own namespace.
const SERVER: &str = "10.98.76.1";
const CLIENT: &str = "10.98.76.2";
const DELAY_MS: u64 = 40;

/// Two network namespaces with a veth pair between them; dropping this removes them.
struct Network {
    /// The server's namespace, then the client's.
    names: [String; 2],
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| format!("no ip: {error}; apt-get install iproute2"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "ip {}: {}",
            arguments.join(" "),
            text(&output.stderr)
        )),
    }
}

impl Network {
    /// `Err`: why the namespaces cannot be made.
    fn new() -> Result<Self, String> {
        let name = |side: &str| format!("threadbare-{}-{side}", std::process::id());
        let network = Self {
            names: [name("a"), name("b")],
        };
        let [server, client] = &network.names;
        for name in &network.names {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        ip(&[
            "-n", server, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns",
            client,
        ])?;
        for (name, address) in [(server, SERVER), (client, CLIENT)] {
            ip(&[
                "-n",
                name,
                "address",
                "add",
                &format!("{address}/24"),
                "dev",
                "cable",
            ])?;
            ip(&["-n", name, "link", "set", "cable", "up"])?;
        }
        Ok(network)
    }

    /// `Err`: why no delay is possible.
    fn delay(&self, milliseconds: u64) -> Result<(), String> {
        let output = Command::new("tc")
            .args([
                "-n",
                &self.names[1],
                "qdisc",
                "add",
                "dev",
                "cable",
                "root",
                "netem",
            ])
            .args(["delay", &format!("{milliseconds}ms")])
            .output()
            .map_err(|error| format!("no tc: {error}; apt-get install iproute2"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("tc: {}", text(&output.stderr).trim())),
        }
    }

    fn at(&self, side: usize, arguments: &[&str]) -> Command {
        let program = threadbare();
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.names[side]])
            .arg(program.get_program())
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "del", name]);
        }
    }
}

/// A service, which is killed on drop if a test fails.
struct Service(Option<Child>);

impl Service {
    fn ended(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn sets(limit_ms: u64) -> Vec<String> {
    let workload = catalogue::find("service.http").unwrap();
    let mut case = workload.cases(Size::Tiny, 2).remove(0);
    case.insert("limit_ns".to_owned(), limit_ms * 1_000_000);
    let words = case
        .iter()
        .map(|(name, value)| format!("--set={name}={value}"));
    words.collect()
}

fn loaded(network: &Network, lane: &str, limit_ms: u64) -> (Service, Output) {
    let address = format!("{SERVER}:8080");
    let sets = sets(limit_ms);
    let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
    let serve = [&["serve", "--lane", lane, "--listen", &address][..], &sets].concat();
    let service = network.at(0, &serve).spawn().unwrap();
    let service = Service(Some(service));
    let load = [&["load", &address][..], &sets].concat();
    (service, network.at(1, &load).output().unwrap())
}

#[test]
fn load_from_another_host_finds_the_rate_and_ends_the_service() {
    let network = match Network::new() {
        Ok(network) => network,
        Err(why) => {
            assert!(std::env::var_os("REQUIRE_NETNS").is_none(), "{why}");
            lane::skipped(&why);
            return;
        }
    };
    for lane in LANES {
        if lane::command(lane).is_none() {
            continue;
        }
        let (service, output) = loaded(&network, lane, 1_000);
        let (told, errors) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{lane}: {errors}");
        for figure in [
            "highest rate within the limit: ",
            "median latency at 50% of the highest rate: ",
            "time from the end of a surge",
        ] {
            assert!(told.contains(figure), "{lane}: {told}");
        }
        // The client cannot see the service's CPU time and memory.
        assert!(
            !told.contains("CPU time for each request"),
            "{lane}: {told}"
        );
        let ended = service.ended();
        let told = text(&ended.stdout);
        assert!(ended.status.success(), "{lane}: {}", text(&ended.stderr));
        assert!(
            told.contains("CPU time: ") && told.contains("threads of the service: "),
            "{lane}: {told}"
        );
    }
    match network.delay(DELAY_MS) {
        // No answer arrives within half of the delay.
        Ok(()) => {
            let (service, output) = loaded(&network, "thread", DELAY_MS / 2);
            let errors = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{errors}");
            assert!(errors.contains("at no rate"), "{errors}");
            drop(service);
            let (service, output) = loaded(&network, "thread", 1_000);
            assert!(output.status.success(), "{}", text(&output.stderr));
            assert!(service.ended().status.success());
        }
        Err(why) => {
            assert!(std::env::var_os("REQUIRE_NETEM").is_none(), "{why}");
            lane::skipped(&format!("netem: {why}; a relay alone has the delay"));
        }
    }
}

/// Stands for a network with a delay: forwards each connection to `to`. It runs until the process
/// ends.
fn relay(to: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            // The service is not there.
            let Ok(server) = TcpStream::connect(to) else {
                continue;
            };
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let clones = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || pass(client, server, delay));
            thread::spawn(move || pass(clones.1, clones.0, Duration::ZERO));
        }
    });
    address
}

/// Forwards all bytes, each part after `delay`.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (parts, due) = channel::<(Instant, Vec<u8>)>();
    let writer = thread::spawn(move || {
        for (due, part) in due {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&part).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut block = vec![0; 16 << 10];
    while let Ok(size @ 1..) = from.read(&mut block) {
        if parts
            .send((Instant::now() + delay, block[..size].to_vec()))
            .is_err()
        {
            break;
        }
    }
    drop(parts);
    let _ = writer.join();
}

fn answers(address: SocketAddr) -> bool {
    let answer = || -> std::io::Result<usize> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream
            .write_all(b"POST /nothing HTTP/1.1\r\nHost: service\r\nContent-Length: 0\r\n\r\n")?;
        stream.read(&mut [0; 256])
    };
    answer().is_ok_and(|size| size > 0)
}

#[test]
fn no_rate_holds_if_the_limit_is_below_the_network_delay() {
    let delay = Duration::from_millis(DELAY_MS);
    // A child that another test has forked may hold this socket for a moment longer. It does not
    // listen, so it neither accepts a connection nor keeps the service from listening.
    let reserved = ReservedPort::at(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = reserved.address;
    let far = relay(address, delay).to_string();
    drop(reserved);
    let here = |arguments: &[&str], limit_ms| {
        let mut command = threadbare();
        command.args(arguments).args(sets(limit_ms));
        command
    };
    let serve = [
        "serve",
        "--lane",
        "thread",
        "--listen",
        &address.to_string(),
    ];
    let service = here(&serve, 1_000).spawn().unwrap();
    let service = Service(Some(service));
    let started = Instant::now();
    while !answers(address) {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "it does not answer"
        );
        thread::sleep(Duration::from_millis(10));
    }
    // The port is in use.
    let second = here(&serve, 1_000).output().unwrap();
    let errors = text(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{errors}");
    assert!(errors.contains("listening at"), "{errors}");
    let refused = here(&["load", &far], DELAY_MS / 2).output().unwrap();
    let errors = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{errors}");
    assert!(errors.contains("at no rate"), "{errors}");
    let loaded = here(&["load", &far], 1_000).output().unwrap();
    assert!(loaded.status.success(), "{}", text(&loaded.stderr));
    let told = text(&loaded.stdout);
    assert!(told.contains("highest rate within the limit: "), "{told}");
    assert!(told.contains("by one search"), "{told}");
    assert!(service.ended().status.success());
}
