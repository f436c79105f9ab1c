//! Measures a user's own code. A crate of `threadbare new` has a kernel or a handler, and two
//! programs: `threadbare` and the lane program, with the crate's workloads. `threadbare run --with`
//! builds the crate and executes its `threadbare`. So each lane in Rust is compiled with the user's
//! code.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::io::{self, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use serde::Deserialize;
use workloads::catalogue::{self, Workload};

use crate::say::say;
use crate::{cli, lane_program};

/// The end of the name of the crate's lane program.
const LANE: &str = "-lane";

/// Why a user's own code cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnError {
    /// The folder holds no crate.
    #[error("{} is no folder of a crate: `threadbare new NAME` makes one", .0.display())]
    NoCrate(PathBuf),
    /// Cargo was not found.
    #[error("there is no {}, which builds the crate: install Rust from https://rustup.rs, or name cargo in CARGO", .0.display())]
    NoCargo(PathBuf),
    /// Cargo could not build the crate; its message was printed before.
    #[error("cargo could not build {}, see above ({status})", folder.display())]
    Build {
        /// The crate's folder.
        folder: PathBuf,
        /// Cargo's exit status.
        status: ExitStatus,
    },
    /// The crate lacks the two programs.
    #[error("{} has not the two programs NAME and NAME{LANE} that `threadbare new` gives a crate", .0.display())]
    NoPrograms(PathBuf),
    /// A system call failed.
    #[error("{what}: {error}")]
    Host {
        /// The action that failed.
        what: String,
        /// Its error.
        error: io::Error,
    },
}

/// The main function of `threadbare` with workloads of a crate outside the suite.
#[must_use]
pub fn main(workloads: &'static [Workload]) -> ExitCode {
    if env::var_os(lane_program::VARIABLE).is_none() {
        say("this program is started by: threadbare run --with DIR");
        return ExitCode::from(cli::FAILED);
    }
    match catalogue::register(workloads) {
        Ok(()) => cli::main(),
        Err(why) => {
            say(format!("threadbare: {why}"));
            ExitCode::from(cli::FAILED)
        }
    }
}

/// Builds the crate in `folder` and executes its `threadbare` in this process's place, with the
/// same arguments. Returns only if that fails. Blocks the thread while cargo runs.
pub(crate) fn start(folder: &Path) -> Result<Infallible, OwnError> {
    let programs = build(folder)?;
    let error = Command::new(&programs.threadbare)
        .args(env::args_os().skip(1))
        .env(lane_program::VARIABLE, &programs.lane)
        .exec();
    Err(OwnError::Host {
        what: format!("starting {}", programs.threadbare.display()),
        error,
    })
}

struct Programs {
    threadbare: PathBuf,
    lane: PathBuf,
}

/// The fields of a message of cargo that are used here.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

fn build(folder: &Path) -> Result<Programs, OwnError> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(OwnError::NoCrate(folder.to_owned()));
    }
    say(format!("building {}: cargo build", folder.display()));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let host = |what: &str| {
        let what = format!("{what} {}", Path::new(&cargo).display());
        move |error| OwnError::Host { what, error }
    };
    let started = Command::new(&cargo)
        .args(["build", "--quiet", "--bins", "--profile", lane_program::own_profile()])
        .args(["--message-format", "json-render-diagnostics"])
        // rustup searches here for the toolchain that the crate names.
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => OwnError::NoCargo(PathBuf::from(&cargo)),
        _ => host("starting")(error),
    })?;
    let output = child.stdout.take().map(BufReader::new);
    let messages = output.map(|output| serde_json::Deserializer::from_reader(output).into_iter());
    let messages = messages.into_iter().flatten().map_while(Result::ok);
    let executables: Vec<PathBuf> = messages
        .filter_map(|message: Message| message.executable)
        .collect();
    let status = child.wait().map_err(host("waiting for"))?;
    if !status.success() {
        let folder = folder.to_owned();
        return Err(OwnError::Build { folder, status });
    }
    let pair = executables.iter().find_map(|lane| {
        let name = lane.file_name()?.to_str()?.strip_suffix(LANE)?;
        let threadbare = lane.with_file_name(name);
        let is_built = executables.contains(&threadbare);
        is_built.then(|| Programs {
            threadbare,
            lane: lane.clone(),
        })
    });
    pair.ok_or_else(|| OwnError::NoPrograms(folder.to_owned()))
}
