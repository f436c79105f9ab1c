//! The `threadbare` program in tests, and a lane for it that is a small shell script.
#![allow(dead_code, reason = "no program of tests uses all of it")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};

/// A lane that sleeps for 10 µs for each iteration and reports this time. The time differs by up to
/// 0.5% between processes, and is longer by `$INJECT` percent. Before its hello the lane makes the
/// file `$MARKS/hello` and sleeps for `$HELLO_S`. At each request it makes `$MARKS/request` and
/// sleeps for `$REQUEST_S`. It runs `$BEFORE` before each answer.
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

pub(crate) fn executable(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// The program without colours. Signals have their default actions, because a shell in the
/// background or `nohup` may ignore some.
pub(crate) fn threadbare() -> Command {
    prepared(Command::new(env!("CARGO_BIN_EXE_threadbare")))
}

/// The program after `first`, shell commands that change inherited settings.
pub(crate) fn threadbare_after(first: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{first}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_threadbare"));
    prepared(shell)
}

/// The program with a separate disk of this size mounted on `disk`. At the end, the disk's folder
/// `results` is copied to `kept`. `Err`: why there is no such disk.
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

pub(crate) fn pasted(words: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("\"$0\" {words}")])
        .arg(env!("CARGO_BIN_EXE_threadbare"));
    prepared(shell)
}

/// The program as an unprivileged user, because the kernel refuses nothing to root. `folder` must
/// be open to all.
pub(crate) fn as_a_user(folder: &Path) -> Command {
    let own = env!("CARGO_BIN_EXE_threadbare");
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return prepared(Command::new(own));
    }
    // The checkout may be readable for root only.
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

/// The kernel will refuse these system calls, each with its error, to the program and its
/// descendants.
pub(crate) fn refuse(command: &mut Command, calls: &[(libc::c_long, i32)]) {
    let refused = |&(call, error): &(_, i32)| (call, libc::SECCOMP_RET_ERRNO | error as u32);
    filter(command, calls.iter().map(refused));
}

/// The kernel will kill the program or a descendant that makes one of these system calls.
pub(crate) fn kill_for(command: &mut Command, calls: &[libc::c_long]) {
    let killed = |&call| (call, libc::SECCOMP_RET_KILL_PROCESS);
    filter(command, calls.iter().map(killed));
}

fn filter(command: &mut Command, calls: impl Iterator<Item = (libc::c_long, u32)>) {
    let step = |code: u32, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let answer = |what: u32| step(libc::BPF_RET | libc::BPF_K, 0, what);
    // The first word of the input is the number of the system call.
    let mut filter = vec![step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for (call, action) in calls {
        let jump_if_equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        filter.push(step(jump_if_equal, 1, call as u32));
        filter.push(answer(action));
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

pub(crate) const BOTH: &str = "spawn.one,switch.pingpong";

pub(crate) const LANE_PROGRAM: &str = "THREADBARE_LANE_PROGRAM";

pub(crate) fn run(mut program: Command, lane: &Path, arguments: &[&str], folder: &Path) -> Command {
    program
        .args(["run", "--lane", "thread"])
        .args(arguments)
        .arg("--out")
        .arg(folder)
        .env(LANE_PROGRAM, lane);
    program
}

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
