//! `serve` and `load` on two hosts: two network namespaces, joined by a cable with a delay.
//!
//! Needs root and `ip`. Without them it prints that it was skipped, and fails under
//! `REQUIRE_NETNS=1`. The delay also needs a kernel that has netem.

mod lane;
mod program;

use std::process::{Child, Command, Output};

use program::{text, threadbare};
use workloads::catalogue::{self, Size};

/// One of each language, as far as its toolchain is there, and of each kind of task.
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
/// Where the service listens: each namespace has addresses of its own.
const SERVER: &str = "10.98.76.1";
const CLIENT: &str = "10.98.76.2";

/// Two network namespaces with a cable between them. Dropping it takes them away.
struct Network {
    /// The names of the server's and of the client's.
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
    /// `Err` says why there is none.
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

    /// What the client sends takes so long from now on; `Err` says why it does not.
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

    /// The program with these arguments, at a side.
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

/// A service that is killed if a test fails.
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

/// The smallest size, as `--set`.
fn sets(limit_ms: u64) -> Vec<String> {
    let workload = catalogue::find("service.http").unwrap();
    let mut point = workload.points(Size::Tiny, 2).remove(0);
    point.insert("limit_ns".to_owned(), limit_ms * 1_000_000);
    let words = point
        .iter()
        .map(|(name, value)| format!("--set={name}={value}"));
    words.collect()
}

/// Serves by `lane` on one host and loads it from the other.
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
            println!("SKIPPED: {why}");
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
            "99th percentile of latency at 50% of the highest rate: ",
            "time from the end of a surge",
        ] {
            assert!(told.contains(figure), "{lane}: {told}");
        }
        // What the service uses is not seen from here.
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
    const DELAY_MS: u64 = 40;
    match network.delay(DELAY_MS) {
        // No answer can be there sooner.
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
        Err(why) => println!("SKIPPED the delay: {why}"),
    }
}
