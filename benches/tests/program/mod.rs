//! The `threadbare` program in tests, and a lane for it that is a small shell script.
#![allow(dead_code, reason = "no program of tests uses all of it")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};

/// Makes a lane that reports a fixed time for each iteration, and sleeps for that time: 10 µs, with
/// up to half a percent of difference between processes. `$INJECT` is a slowdown in percent. It
/// makes the file `$MARKS/hello` before its hello and `$MARKS/request` at each request, and sleeps
/// for `$HELLO_S` and `$REQUEST_S` after that. `$BEFORE` is run before each answer.
pub(crate) fn lane(folder: &Path) -> PathBuf {
    let path = folder.join("lane.sh");
    let script = r#"#!/bin/sh
[ -z "$MARKS" ] || : >"$MARKS/hello"
sleep ${HELLO_S:-0}
echo '{"type":"hello","protocol":1,"lane":"thread","language":"sh","runtime":"'${RUNTIME:-none}'","pid":1,"cpus_count":'$(nproc)',"workloads":{"spawn.one":null,"switch.pingpong":null,"io.file_read":null}}'
per=$((10000 + $$ * 7919 % 101 - 50))
per=$((per * (100 + ${INJECT:-0}) / 100))
while read -r line; do
  case $line in *'"type":"run"'*) ;; *) exit 0;; esac
  [ -z "$MARKS" ] || : >"$MARKS/request"
  sleep ${REQUEST_S:-0}
  id=${line#*\"id\":}; id=${id%%,*}
  iterations=${line##*\"iterations\":}; iterations=${iterations%%\}*}
  rounds=${line#*\"rounds_count\":}; rounds=${rounds%%[,\}]*}
  case $line in *pingpong*) sum=$((iterations * rounds));; *) sum=$iterations;; esac
  elapsed=$((iterations * per))
  sleep $((elapsed / 1000000000)).$(printf %09d $((elapsed % 1000000000)))
  eval "$BEFORE"
  echo '{"type":"sample","id":'$id',"elapsed_ns":'$elapsed',"operations_count":'$sum',"checksum":'$sum',"cpu_ns":0,"voluntary_switches_count":0,"involuntary_switches_count":0}'
done
"#;
    executable(&path, script);
    path
}

/// Writes an executable script.
pub(crate) fn executable(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// The program, without colours and with the default actions of signals. A test may have inherited
/// ignored signals: a shell ignores SIGINT in its background jobs, and `nohup` SIGHUP.
pub(crate) fn threadbare() -> Command {
    prepared(Command::new(env!("CARGO_BIN_EXE_threadbare")))
}

/// The same after `first`, lines of a shell that change the inherited settings.
pub(crate) fn threadbare_after(first: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{first}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_threadbare"));
    prepared(shell)
}

/// The same, with a separate disk of this many KiB mounted on `disk`. At the end the content of its
/// folder `results` is copied to `kept`. `Err` tells why there is no such disk.
pub(crate) fn threadbare_on_a_disk(
    size_kib: u32,
    disk: &Path,
    kept: &Path,
) -> Result<Command, String> {
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--map-root-user", "sh", "-c"]);
        unshare
    };
    let (disk, kept) = (disk.display(), kept.display());
    let mount = format!("mount -t tmpfs -o size={size_kib}k none '{disk}'");
    match unshare().arg(&mount).output() {
        Ok(tried) if tried.status.success() => {}
        Ok(tried) => return Err(text(&tried.stderr)),
        Err(error) => return Err(format!("no unshare: {error}")),
    }
    let mut shell = unshare();
    shell
        .arg(format!(
            "{mount}; \"$0\" \"$@\"; status=$?; cp -r '{disk}/results' '{kept}'; exit $status"
        ))
        .arg(env!("CARGO_BIN_EXE_threadbare"));
    Ok(prepared(shell))
}

/// The program with a command line as a user pastes it into a shell.
pub(crate) fn pasted(words: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("\"$0\" {words}")])
        .arg(env!("CARGO_BIN_EXE_threadbare"));
    prepared(shell)
}

/// The program as an unprivileged user, because root is refused nothing. `folder` must be open to
/// all.
pub(crate) fn as_a_user(folder: &Path) -> Command {
    let own = env!("CARGO_BIN_EXE_threadbare");
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return prepared(Command::new(own));
    }
    // Only root may be able to read the checkout.
    let copy = folder.join("threadbare");
    if !copy.exists() {
        fs::hard_link(own, &copy)
            .or_else(|_| fs::copy(own, &copy).map(drop))
            .unwrap();
    }
    let mut command = prepared(Command::new(copy));
    command.uid(65_534).gid(65_534);
    command
}

fn prepared(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("NO_COLOR", "1");
    // SAFETY: `signal` may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for each in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM] {
                signal(each, SigHandler::SigDfl)?;
            }
            Ok(())
        });
    }
    command
}

/// Makes the kernel refuse these system calls to the program and all that it starts, each with its
/// error.
pub(crate) fn refuse(command: &mut Command, calls: &[(libc::c_long, i32)]) {
    let refused = |&(call, error): &(_, i32)| (call, libc::SECCOMP_RET_ERRNO | error as u32);
    filter(command, calls.iter().map(refused));
}

/// Makes the kernel kill a process that makes one of these system calls: the program, or one that
/// it starts.
pub(crate) fn kill_for(command: &mut Command, calls: &[libc::c_long]) {
    let killed = |&call| (call, libc::SECCOMP_RET_KILL_PROCESS);
    filter(command, calls.iter().map(killed));
}

/// Installs a seccomp filter with these results for system calls.
fn filter(command: &mut Command, calls: impl Iterator<Item = (libc::c_long, u32)>) {
    let step = |code: u32, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let answer = |what: u32| step(libc::BPF_RET | libc::BPF_K, 0, what);
    // The first word of the filter's input is the number of the call.
    let mut filter = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (call, way) in calls {
        let is_it = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        filter.push(step(is_it, 1, call as u32));
        filter.push(answer(way));
    }
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    // SAFETY: two system calls, which may be made between fork and exec; the filter is
    // alive for them.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog {
                len: filter.len() as u16,
                filter: filter.as_mut_ptr(),
            };
            let done = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                ) == 0;
            match done {
                true => Ok(()),
                false => Err(std::io::Error::last_os_error()),
            }
        });
    }
}

/// The two workloads of the lane that read no files.
pub(crate) const BOTH: &str = "spawn.one,switch.pingpong";

/// The variable that names the lane program.
pub(crate) const LANE_PROGRAM: &str = "THREADBARE_LANE_PROGRAM";

/// Makes `program` measure the lane into `folder`.
pub(crate) fn run(mut program: Command, lane: &Path, arguments: &[&str], folder: &Path) -> Command {
    program
        .args(["run", "--lane", "thread"])
        .args(arguments)
        .arg("--out")
        .arg(folder)
        .env(LANE_PROGRAM, lane);
    program
}

/// Goes on with the run in `folder`.
pub(crate) fn resume(lane: &Path, folder: &Path) -> Command {
    let mut program = threadbare();
    program
        .args(["run", "--resume"])
        .arg(folder)
        .env(LANE_PROGRAM, lane);
    program
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
