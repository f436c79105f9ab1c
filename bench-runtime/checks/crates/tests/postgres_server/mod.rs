//! A PostgreSQL of a test's own, on a socket in a folder of its own. Where none is
//! installed the test is skipped, and fails under `REQUIRE_POSTGRES=1`.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server, until it is dropped.
pub(crate) struct Server {
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
    /// Starts a server; prints and returns `None` if none is installed.
    pub(crate) fn find() -> Option<Self> {
        match Self::start() {
            Ok(server) => Some(server),
            Err(why) => {
                assert!(std::env::var_os("REQUIRE_POSTGRES").is_none(), "{why}");
                eprintln!("SKIPPED: {why}");
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

    pub(crate) fn config(&self) -> String {
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
