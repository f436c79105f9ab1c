//! Ends processes that have left a lane's group by a session of their own (`setsid`).
//!
//! The study is the subreaper of the lanes: it becomes the parent of each process whose parent has
//! ended. A variable in the environment tells a lane's processes from other children of this
//! program.

use std::ffi::OsString;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use workloads::host::children::children;

const VARIABLE: &str = "THREADBARE_LANE_MARK";
/// The most rounds of killing: a lane's processes may start others faster than they are killed.
const MOST_ROUNDS: usize = 100;

/// Makes this process the subreaper. Returns whether it succeeded.
pub(super) fn adopt() -> bool {
    static ADOPTED: OnceLock<bool> = OnceLock::new();
    *ADOPTED.get_or_init(|| nix::sys::prctl::set_child_subreaper(true).is_ok())
}

#[derive(Clone, Debug)]
pub(super) struct Mark(String);

impl Mark {
    /// A mark that no other lane of this host has. All marks have the same length, because the size
    /// of the environment moves a program's stack.
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!("{:08x}{number:08x}", std::process::id()))
    }

    pub(super) fn variable(&self) -> (OsString, OsString) {
        (VARIABLE.into(), self.0.clone().into())
    }

    /// Kills and reaps the lane's remaining processes, in at most [`MOST_ROUNDS`] rounds. Call it
    /// when the lane's own process is reaped. Blocks the thread. Returns the number of processes.
    pub(super) fn end_strays(&self) -> usize {
        let mut count = 0;
        for _ in 0..MOST_ROUNDS {
            let children = children(std::process::id()).into_iter();
            let pids = children.map(|pid| Pid::from_raw(pid.cast_signed()));
            let own: Vec<Pid> = pids.filter(|&pid| self.is_of(pid)).collect();
            if own.is_empty() {
                break;
            }
            count += own.len();
            for pid in own {
                // A child that is not reaped keeps its process id.
                let _ = kill(pid, Signal::SIGKILL);
                let _ = waitpid(pid, None);
            }
        }
        count
    }

    fn is_of(&self, pid: Pid) -> bool {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mark = format!("{VARIABLE}={}", self.0);
        environment
            .split(|&byte| byte == 0)
            .any(|variable| variable == mark.as_bytes())
    }
}
