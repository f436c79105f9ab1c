use std::{fs, io};

use super::ledger::{LaneMemory, has_ended, kernel_stack};
use crate::host::children::descendants;
use crate::host::proc_file::ProcFile;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    /// The CPU time of the threads that are alive.
    pub(crate) cpu_ns: u64,
    pub(crate) threads: u64,
    /// Anonymous memory, page tables and kernel stacks.
    pub(crate) bytes: u64,
}

impl Observed {
    /// Reads `pid` and its descendants, without the generator and the backend that a lane starts.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let mut all = [vec![pid], descendants(pid)].concat();
        let helpers = all.iter().copied().filter(|&one| is_helper(one));
        let helpers: Vec<u32> = helpers
            .flat_map(|one| [vec![one], descendants(one)].concat())
            .collect();
        all.retain(|one| !helpers.contains(one));
        let stack = kernel_stack(&ProcFile::read("/proc/meminfo")?)?;
        let (mut own, mut cpu_ns) = (LaneMemory::default(), 0);
        for one in all {
            match own.add(one, stack) {
                Err(error) if one == pid || !has_ended(&error) => return Err(error),
                _ => cpu_ns += cpu_time(one),
            }
        }
        Ok(Self {
            cpu_ns,
            threads: own.threads.try_into().unwrap_or(0),
            bytes: (own.anonymous + own.page_tables + own.kernel_stack)
                .try_into()
                .unwrap_or(0),
        })
    }
}

fn is_helper(pid: u32) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = words.split(|&byte| byte == 0).nth(1);
    command.is_some_and(|word| [&b"load-service"[..], b"backend"].contains(&word))
}

/// A thread that ends meanwhile counts as zero.
fn cpu_time(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let threads = threads.flatten().flatten();
    let times = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    times.sum()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use nix::sys::signal::{Signal, killpg};
    use nix::sys::stat::Mode;
    use nix::unistd::{Pid, mkfifo};

    use super::*;

    #[test]
    fn descendants_count_and_the_programs_of_the_load_do_not() {
        let folder = tempfile::tempdir().unwrap();
        mkfifo(&folder.path().join("backend"), Mode::S_IRWXU).unwrap();
        // `cat backend` has the same first argument as a backend.
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & cat backend & wait"])
            .current_dir(folder.path())
            .process_group(0)
            .spawn()
            .unwrap();
        let start = Instant::now();
        let is_there = || {
            let all = descendants(shell.id());
            all.len() == 2 && all.into_iter().any(is_helper)
        };
        while !is_there() {
            assert!(start.elapsed() < Duration::from_secs(60));
            sleep(Duration::from_millis(5));
        }
        let observed = Observed::of(shell.id()).unwrap();
        killpg(Pid::from_raw(shell.id().cast_signed()), Signal::SIGKILL).unwrap();
        shell.wait().unwrap();
        assert_eq!(observed.threads, 2, "{observed:?}");
        assert!(
            observed.cpu_ns > 0 && observed.bytes > 10_000,
            "{observed:?}"
        );
        assert!(Observed::of(shell.id()).is_err());
    }
}
