//! A PostgreSQL server for one test, on a socket in a temporary folder. If the server cannot be
//! started, the test is skipped, or fails if `REQUIRE_POSTGRES` is set.
#![allow(dead_code, reason = "no program of tests uses all of it")]

use std::fs;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take until it is ready.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The server ends when this value is dropped.
pub(crate) struct Server {
    process: Child,
    folder: TempDir,
    user: Option<(u32, u32)>,
}

/// The folder of the server's programs on Debian, of the version that is last in text order. Empty
/// if there is no such folder: then `PATH` has the programs.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_default()
}

/// The user `postgres` if this process is root, because the server refuses to run as root.
fn user() -> Option<(u32, u32)> {
    let is_root =
        fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let users = fs::read_to_string("/etc/passwd").ok().filter(|_| is_root)?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn program(name: &str, folder: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(programs().join(name));
    command.current_dir(folder).stdin(Stdio::null());
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// Starts the server, and waits until it answers queries.
fn serve(folder: &Path, user: Option<(u32, u32)>) -> Result<Child, String> {
    let mut server = program("postgres", folder, user);
    server.arg("-D").arg(folder.join("data"));
    server.arg("-k").arg(folder);
    server.args(["-c", "listen_addresses=", "-c", "fsync=off"]);
    start(&mut server, folder, START_LIMIT)
}

/// Whether the server of `folder` answers queries. It listens already while it refuses them. A file
/// of an earlier server is replaced before the socket is.
fn is_ready(folder: &Path, socket: &Path) -> bool {
    let status = || {
        let file = fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
        file.lines().nth(7).map(|line| line.trim() == "ready")
    };
    UnixStream::connect(socket).is_ok() && status() == Some(true)
}

/// Starts `server`, and waits until it is ready. Panics if it is not within `limit`.
pub(crate) fn start(server: &mut Command, folder: &Path, limit: Duration) -> Result<Child, String> {
    let socket = folder.join(".s.PGSQL.5432");
    let mut said = tempfile::tempfile().map_err(|e| e.to_string())?;
    let mut process = server
        .stdout(Stdio::null())
        .stderr(said.try_clone().map_err(|e| e.to_string())?)
        .spawn()
        .map_err(|e| format!("no postgres: {e}"))?;
    let begun = Instant::now();
    while !is_ready(folder, &socket) {
        let why = match process.try_wait().unwrap() {
            Some(status) => status.to_string(),
            None if begun.elapsed() > limit => format!("not after {limit:?}"),
            None => {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
        };
        // It may have ended.
        let _ = process.kill();
        let _ = process.wait();
        let mut text = String::new();
        said.rewind().unwrap();
        said.read_to_string(&mut text).unwrap();
        let socket = socket.display();
        panic!("{server:?} answers no query at {socket}: {why}. It said:\n{text}");
    }
    Ok(process)
}

fn signal(name: &str, process: &str) -> bool {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), process])
        .status();
    sent.is_ok_and(|status| status.success())
}

impl Server {
    /// Prints the reason and returns `None` if the server cannot be started. Panics if it starts
    /// and does not answer.
    pub(crate) fn find() -> Option<Self> {
        match Self::start() {
            Ok(server) => Some(server),
            Err(why) => {
                assert!(std::env::var_os("REQUIRE_POSTGRES").is_none(), "{why}");
                // Not `eprintln`, whose output is shown only if the test fails.
                let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
                None
            }
        }
    }

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
        let made = program("initdb", folder.path(), user)
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
        let process = serve(folder.path(), user)?;
        Ok(Self {
            process,
            folder,
            user,
        })
    }

    pub(crate) fn end(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) && !self.signal("QUIT") {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }

    /// Starts the server again with the same data.
    pub(crate) fn start_again(&mut self) {
        self.process = serve(self.folder.path(), self.user).unwrap();
    }

    /// Sends SIGSTOP, first to the parent process, so it starts no others meanwhile.
    pub(crate) fn stop(&self) {
        assert!(self.signal("STOP"));
        self.children("STOP");
    }

    pub(crate) fn go_on(&self) {
        self.children("CONT");
        assert!(self.signal("CONT"));
    }

    fn signal(&self, name: &str) -> bool {
        signal(name, &self.process.id().to_string())
    }

    fn children(&self, name: &str) {
        let process = self.process.id();
        let children = format!("/proc/{process}/task/{process}/children");
        for child in fs::read_to_string(children).unwrap().split_whitespace() {
            // A process that has ended meanwhile needs no signal.
            signal(name, child);
        }
    }

    pub(crate) fn config(&self) -> String {
        let folder: &Path = self.folder.path();
        format!("host={} user=postgres dbname=postgres", folder.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
