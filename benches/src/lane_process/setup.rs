//! The steps of a lane's child between `fork` and `exec`. A sandbox may refuse each step. The
//! lane then runs without it, and the child reports the refusal to its parent through a pipe.
#![expect(
    unsafe_code,
    reason = "the affinity and the parent-death signal must be set in the child, and the standard library marks the hook for that unsafe"
)]

use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid, setpgid};
use workloads::host::affinity::Mask;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Group,
    Pin,
    DeathSignal,
}

impl Step {
    const ALL: [Self; 3] = [Self::Group, Self::Pin, Self::DeathSignal];

    pub(super) fn refused(self) -> &'static str {
        match self {
            Self::Group => {
                "setpgid: lanes have no process group of their own, so a Ctrl-C ends the lane that runs"
            }
            Self::Pin => "sched_setaffinity: lanes are not pinned to the run's CPUs",
            Self::DeathSignal => {
                "prctl(PR_SET_PDEATHSIG): a lane may outlive this program if that is killed"
            }
        }
    }
}

/// Makes the child lead a new process group, pins it to `cpus`, and has the kernel kill it when the
/// thread that started it ends. After the start, the result tells which steps were refused.
pub(super) fn prepare(command: &mut Command, cpus: Mask) -> Refusals {
    let parent = getpid();
    let pipe = io::pipe().ok();
    let (read, write) = pipe.map_or((None, None), |(read, write)| (Some(read), Some(write)));
    let in_child = move || -> io::Result<()> {
        let refused = [
            setpgid(Pid::from_raw(0), Pid::from_raw(0)).is_err(),
            cpus.pin().is_err(),
            set_pdeathsig(Signal::SIGKILL).is_err(),
        ];
        for (number, _) in (0_u8..).zip(refused).filter(|(_, refused)| *refused) {
            if let Some(write) = &write {
                let _ = nix::unistd::write(write.as_fd(), &[number]);
            }
        }
        if getppid() != parent {
            // The parent ended before the signal was set.
            return Err(io::Error::from(nix::Error::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between `fork` and `exec` only async-signal-safe calls are allowed. The hook makes
    // system calls and compares integers. It allocates nothing and takes no lock: the error is an
    // errno, which `io::Error` holds without allocating.
    unsafe {
        command.pre_exec(in_child);
    }
    Refusals(read)
}

#[derive(Debug)]
pub(super) struct Refusals(Option<PipeReader>);

impl Refusals {
    /// The refused steps. To be called when the child has started. Does not block.
    pub(super) fn read(self) -> Vec<Step> {
        let Some(mut read) = self.0 else {
            return Vec::new();
        };
        let mut numbers = [0; Step::ALL.len()];
        let is_set = fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok();
        let count = match is_set {
            true => read.read(&mut numbers).unwrap_or(0),
            false => 0,
        };
        let step = |&number: &u8| Step::ALL.get(usize::from(number)).copied();
        numbers[..count].iter().filter_map(step).collect()
    }
}
