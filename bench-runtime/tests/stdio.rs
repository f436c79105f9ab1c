//! Standard streams of every kind.

mod start;

use std::fs::File;
use std::io::{BufRead, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use bench_runtime::{Runtime, go, goroutines, io, yield_now};
use start::Start;

const CHILD: &str = "BENCH_RUNTIME_STDIO_CHILD";

fn is_nonblocking(fd: impl AsFd) -> bool {
    // SAFETY: reads flags.
    unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

/// In the child: prints two lines of the input, and then the rest. Another goroutine runs during
/// each wait for a line.
fn body() {
    for builder in [Runtime::builder(), Runtime::builder().migrating()] {
        builder.procs(1).start().unwrap().run(|| {
            let reader = go(|| io::stdin().lines().next());
            while !goroutines().iter().any(|g| g.id == reader.id() && g.waits)
                && !reader.is_finished()
            {
                yield_now();
            }
            writeln!(io::stdout(), "[waits]").unwrap();
            match reader.join().unwrap() {
                Some(line) => writeln!(io::stdout(), "[{}]", line.unwrap()).unwrap(),
                None => writeln!(io::stdout(), "[end]").unwrap(),
            }
        });
    }
    let rest = Runtime::builder().procs(1).start().unwrap().run(|| {
        let mut rest = String::new();
        io::stdin().read_to_string(&mut rest).unwrap();
        writeln!(io::stderr(), "[rest of {}]", rest.len()).unwrap();
        rest
    });
    print!("[{rest}]");
    assert!(!is_nonblocking(std::io::stdin()) && !is_nonblocking(std::io::stdout()));
}

/// Starts the child. Returns `None` in the child, after it has run `body`.
fn child(test: &str, stdin: Stdio, stdout: Stdio) -> Option<Child> {
    if std::env::var_os(CHILD).is_some() {
        body();
        return None;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped());
    Some(command.spawn().unwrap())
}

fn until(from: &mut impl Read, text: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(text) {
        let mut one = [0];
        let count = from.read(&mut one).unwrap();
        assert_eq!(count, 1, "no {text} in {}", String::from_utf8_lossy(&all));
        all.push(one[0]);
    }
    String::from_utf8(all).unwrap()
}

#[test]
fn a_pipe_is_waited_for_line_by_line() {
    let Some(mut child) = child(
        "a_pipe_is_waited_for_line_by_line",
        Stdio::piped(),
        Stdio::piped(),
    ) else {
        return;
    };
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    for line in ["one", "two"] {
        until(&mut stdout, "[waits]");
        writeln!(stdin, "{line}").unwrap();
        until(&mut stdout, &format!("[{line}]"));
    }
    let long = "x".repeat(1_000_000);
    stdin.write_all(long.as_bytes()).unwrap();
    drop(stdin);
    let mut text = String::new();
    stdout.read_to_string(&mut text).unwrap();
    assert!(text.contains(&format!("[{long}]")));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("[rest of 1000000]")
    );
}

#[test]
fn a_file_is_read_to_its_end_and_written_at_its_position() {
    let (mut input, mut output) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    input.write_all(b"one\ntwo\nthree\nfour").unwrap();
    input.rewind().unwrap();
    let stdin = input.try_clone().unwrap().into();
    let stdout = output.try_clone().unwrap().into();
    let test = "a_file_is_read_to_its_end_and_written_at_its_position";
    let Some(child) = child(test, stdin, stdout) else {
        return;
    };
    assert!(child.wait_with_output().unwrap().status.success());
    output.rewind().unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    for part in ["[one]", "[two]", "[three\nfour]"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn nothing_to_read_and_no_reader_are_the_end_and_no_fault() {
    let test = "nothing_to_read_and_no_reader_are_the_end_and_no_fault";
    let Some(child) = child(test, Stdio::null(), Stdio::null()) else {
        return;
    };
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("[rest of 0]")
    );
}

#[test]
fn a_terminal_is_waited_for_and_stays_as_it_was() {
    let (mut master, mut slave) = (-1, -1);
    let null = std::ptr::null_mut();
    // SAFETY: the call only fills in two numbers.
    let result = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            null,
            null.cast(),
            null.cast(),
        )
    };
    assert_eq!(result, 0);
    // SAFETY: both are new and ours.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let test = "a_terminal_is_waited_for_and_stays_as_it_was";
    let (stdin, stdout) = (slave.try_clone().unwrap(), slave.try_clone().unwrap());
    let Some(child) = child(test, stdin.into(), stdout.into()) else {
        return;
    };
    let mut screen = File::from(master);
    for line in ["one", "two"] {
        until(&mut screen, "[waits]");
        assert!(!is_nonblocking(&slave), "while it waits");
        writeln!(screen, "{line}").unwrap();
        until(&mut screen, &format!("[{line}]"));
    }
    // Ctrl-D, at the start of a line.
    screen.write_all(b"rest\n\x04").unwrap();
    until(&mut screen, "[rest\r\n]");
    assert!(!is_nonblocking(&slave));
    let reader = std::thread::spawn(move || {
        std::io::BufReader::new(screen)
            .lines()
            .map_while(Result::ok)
            .count()
    });
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    drop(slave);
    reader.join().unwrap();
}

#[test]
fn streams_that_are_closed_are_at_their_end() {
    let test = "streams_that_are_closed_are_at_their_end";
    if std::env::var_os(CHILD).is_some() {
        let read = Runtime::builder().procs(1).start().unwrap().run(|| {
            // SAFETY: no other thread uses them in this child.
            unsafe {
                libc::close(0);
                libc::close(1);
            }
            writeln!(io::stdout(), "nobody sees it").unwrap();
            io::stdin().read_line(&mut String::new()).unwrap()
        });
        std::process::exit(if read == 0 { 0 } else { 1 });
    }
    let child = child(test, Stdio::piped(), Stdio::piped()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

/// The writer waits for a slow reader, and other goroutines run.
#[test]
fn a_full_pipe_is_waited_for() {
    const LENGTH: usize = 300_000;
    let test = "a_full_pipe_is_waited_for";
    if std::env::var_os(CHILD).is_some() {
        Runtime::builder().procs(1).start().unwrap().run(|| {
            let text = vec![b'x'; LENGTH];
            let writer = go(move || io::stdout().write_all(&text).unwrap());
            while !goroutines()
                .iter()
                .any(|g| g.id == writer.id() && g.state == "IO wait")
            {
                yield_now();
            }
            writeln!(io::stderr(), "[full]").unwrap();
            writer.join().unwrap();
            assert!(!is_nonblocking(std::io::stdout()));
        });
        return;
    }
    let mut child = child(test, Stdio::null(), Stdio::piped()).unwrap();
    until(child.stderr.as_mut().unwrap(), "[full]");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let count = output.stdout.iter().filter(|byte| **byte == b'x').count();
    assert!((LENGTH..LENGTH + 100).contains(&count), "{count}");
}
