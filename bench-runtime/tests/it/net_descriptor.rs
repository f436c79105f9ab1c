//! Descriptors of every kind: what ends a wait, and a close by the owner of a duplicated
//! descriptor.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bench_runtime::net::{Descriptor, Shared, TcpListener, TcpStream, is_closed_error};
use bench_runtime::time::sleep;
use bench_runtime::{chan, context, go};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::support::{Way, everywhere};

const MOMENT: Duration = Duration::from_millis(5);

fn is_nonblocking(fd: impl AsFd) -> bool {
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFL).unwrap();
    nix::fcntl::OFlag::from_bits_retain(flags).contains(nix::fcntl::OFlag::O_NONBLOCK)
}

#[test]
fn timerfd_ticks_are_waited_for_and_not_early() {
    everywhere(|_| {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::empty()).unwrap();
        let mut watched = Descriptor::duplicate_of(&timer).unwrap();
        let begun = Instant::now();
        let each = Expiration::Interval(TimeSpec::from_duration(MOMENT));
        timer.set(each, TimerSetTimeFlags::empty()).unwrap();
        let mut ticks = 0;
        while ticks < 3 {
            let mut count = [0; 8];
            watched.read_exact(&mut count).unwrap();
            ticks += u64::from_ne_bytes(count);
            assert!(begun.elapsed() >= MOMENT * ticks as u32);
        }
        assert!(!is_nonblocking(&timer), "its flags are the program's");
    });
}

/// poll(2) reports urgent data, but no read returns it.
#[test]
fn urgent_data_blocks_no_thread_and_keeps_none_awake() {
    everywhere(|way| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        let urgent = nix::sys::socket::MsgFlags::MSG_OOB;
        nix::sys::socket::send(far.as_raw_fd(), b"!", urgent).unwrap();
        let mut watched = Descriptor::duplicate_of(&near).unwrap();
        watched.wait_readable().unwrap();
        // The descriptor is in blocking mode. The writer may need this thread.
        let (tx, rx) = chan(0);
        let writer = way.go(move || {
            rx.recv();
            sleep(MOMENT);
            far.write_all(b"data").unwrap();
            far
        });
        tx.send(()).unwrap();
        assert_eq!(watched.read(&mut [0; 8]).unwrap(), 4);
        let far = writer.join();
        nix::sys::socket::send(far.as_raw_fd(), b"!", urgent).unwrap();
        let mut trials = 0;
        watched.set_read_timeout(Some(MOMENT)).unwrap();
        let nothing = watched.read_with(|| {
            trials += 1;
            Err::<(), _>(io::ErrorKind::WouldBlock.into())
        });
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(trials < 10, "tried {trials} times");
    });
}

#[test]
fn eventfd_counts_reach_the_waiter() {
    everywhere(|way| {
        for flags in [EfdFlags::empty(), EfdFlags::EFD_NONBLOCK] {
            let event = Arc::new(EventFd::from_flags(flags).unwrap());
            let watched = Descriptor::duplicate_of(&*event).unwrap();
            let writer = {
                let event = event.clone();
                way.go(move || {
                    for _ in 0..100 {
                        event.write(3).unwrap();
                        way.yield_now();
                    }
                })
            };
            let mut sum = 0;
            while sum < 300 {
                watched.wait_readable().unwrap();
                sum += event.read().unwrap();
            }
            assert_eq!(sum, 300);
            writer.join();
            watched.set_read_timeout(Some(MOMENT)).unwrap();
            let late = watched.wait_readable().unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            watched.wait_writable().unwrap();
        }
    });
}

#[test]
fn inotify_reports_written_files() {
    everywhere(|way| {
        let dir = tempfile::tempdir().unwrap();
        let inotify = Inotify::init(InitFlags::empty()).unwrap();
        let watched = Descriptor::duplicate_of(inotify.as_fd()).unwrap();
        let flags = AddWatchFlags::IN_CLOSE_WRITE;
        inotify.add_watch(dir.path(), flags).unwrap();
        let path = dir.path().to_owned();
        let writer = way.go(move || {
            for n in 0..5 {
                std::fs::write(path.join(format!("file-{n}")), "text").unwrap();
                way.yield_now();
            }
        });
        let mut names = Vec::new();
        while names.len() < 5 {
            watched.wait_readable().unwrap();
            names.extend(inotify.read_events().unwrap().into_iter().map(|e| e.name));
        }
        let names: Vec<_> = names.into_iter().map(|n| n.unwrap()).collect();
        assert_eq!(names, ["file-0", "file-1", "file-2", "file-3", "file-4"]);
        writer.join();
    });
}

#[test]
fn terminal_is_read_and_written_and_ends() {
    everywhere(|way| {
        let pty = nix::pty::openpty(None, None).unwrap();
        let (master, slave) = (Descriptor::new(pty.master), Descriptor::new(pty.slave));
        let shell = way.go(move || {
            let mut slave = slave;
            let mut line = [0; 64];
            let count = slave.read(&mut line).unwrap();
            slave.write_all(b"you said ").unwrap();
            slave.write_all(&line[..count]).unwrap();
        });
        (&master).write_all(b"hello\n").unwrap();
        let mut seen = Vec::new();
        // The last read of the terminal fails with EIO.
        let end = loop {
            let mut part = [0; 16];
            match (&master).read(&mut part) {
                Ok(count) => seen.extend_from_slice(&part[..count]),
                Err(e) => break e,
            }
        };
        assert_eq!(end.raw_os_error(), Some(nix::errno::Errno::EIO as i32));
        let seen = String::from_utf8(seen).unwrap();
        assert_eq!(seen, "hello\r\nyou said hello\r\n");
        shell.join();
    });
}

#[test]
fn blocking_pipe_is_written_to_without_blocking_its_thread() {
    everywhere(|way| {
        let (reader, writer) = io::pipe().unwrap();
        let (mut reader, writer) = (Descriptor::new(reader), Descriptor::new(writer));
        const BYTES: usize = 300_000;
        let sender = way.go(move || (&writer).write_all(&vec![7; BYTES]).unwrap());
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        assert_eq!(got.len(), BYTES);
        assert!(got.iter().all(|&b| b == 7));
        assert!(!is_nonblocking(&reader));
        sender.join();
    });
}

#[test]
fn regular_files_and_devices_without_a_wait_are_always_ready() {
    everywhere(|_| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "text").unwrap();
        for path in [path.as_path(), "/dev/null".as_ref(), dir.path()] {
            let watched = Descriptor::new(File::open(path).unwrap());
            watched.wait_readable().unwrap();
            watched.wait_writable().unwrap();
        }
        let mut text = String::new();
        Descriptor::new(File::open(&path).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "text");
    });
}

#[test]
fn operation_on_dev_null_that_would_block_is_refused_in_a_goroutine() {
    everywhere(|way| {
        if way == Way::Threads {
            // On a plain thread the operation would be tried for ever: ppoll(2) reports /dev/null
            // as ready.
            return;
        }
        let watched = Descriptor::new(File::open("/dev/null").unwrap());
        let refused = watched.read_with(|| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    });
}

#[test]
fn deadline_close_and_context_end_a_wait() {
    everywhere(|way| {
        let (reader, _writer) = io::pipe().unwrap();
        let watched = Arc::new(Descriptor::new(reader));
        let end = Instant::now() + MOMENT;
        watched.set_deadline(Some(end));
        let late = watched.wait_readable().unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert!(Instant::now() >= end);
        watched.set_deadline(None);
        // The end of a context changes the deadline, which ends the wait.
        let (ctx, cancel) = context::Context::background().with_cancel();
        let call = ctx.after_func({
            let watched = watched.clone();
            move || watched.set_read_deadline(Some(Instant::now()))
        });
        let waiter = |watched: &Arc<Descriptor>| {
            let watched = watched.clone();
            way.go(move || watched.wait_readable())
        };
        let waits = waiter(&watched);
        cancel.cancel();
        assert_eq!(waits.join().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(!call.stop());
        watched.set_deadline(None);

        let waits = [waiter(&watched), waiter(&watched)];
        way.let_others_run();
        watched.close().unwrap();
        for waits in waits {
            assert!(is_closed_error(&waits.join().unwrap_err()));
        }
        assert!(is_closed_error(&watched.wait_writable().unwrap_err()));
        assert!(is_closed_error(&watched.close().unwrap_err()));
        let watched = Arc::into_inner(watched).unwrap();
        assert!(is_closed_error(&watched.into_fd().unwrap_err()));
    });
}

#[test]
fn many_waiters_for_one_side_are_all_woken() {
    everywhere(|way| {
        let (reader, mut writer) = io::pipe().unwrap();
        let watched = Arc::new(Descriptor::new(reader));
        let all: Vec<_> = (0..8)
            .map(|_| {
                let watched = watched.clone();
                way.go(move || watched.wait_readable())
            })
            .collect();
        way.let_others_run();
        writer.write_all(b"stays").unwrap();
        all.into_iter().for_each(|task| task.join().unwrap());
    });
}

#[test]
fn wait_on_a_duplicate_survives_the_close_and_reuse_of_the_owners_fd() {
    everywhere(|way| {
        let (theirs, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let number = theirs.as_raw_fd();
        let watched = Arc::new(Descriptor::duplicate_of(&theirs).unwrap());
        let waits = {
            let watched = watched.clone();
            way.go(move || watched.wait_readable())
        };
        way.let_others_run();
        drop(theirs);
        // The pipe most likely gets the number that `theirs` had. The duplicate must not affect
        // the pipe.
        let (other, mut writer) = io::pipe().unwrap();
        let other = Descriptor::new(other);
        let reused = other.as_raw_fd() == number;
        other.set_read_timeout(Some(MOMENT)).unwrap();
        assert!(other.wait_readable().is_err(), "reused: {reused}");
        (&far).write_all(b"x").unwrap();
        waits.join().unwrap();
        drop(watched);
        other.set_read_timeout(None).unwrap();
        let waits = way.go(move || other.wait_readable());
        way.let_others_run();
        writer.write_all(b"x").unwrap();
        waits.join().unwrap();
    });
}

#[test]
fn descriptor_taken_back_is_as_it_was() {
    everywhere(|_| {
        let (reader, mut writer) = io::pipe().unwrap();
        let watched = Descriptor::new(reader);
        watched.set_read_timeout(Some(MOMENT)).unwrap();
        assert!(watched.wait_readable().is_err());
        let fd: OwnedFd = watched.into_fd().unwrap();
        writer.write_all(b"x").unwrap();
        let mut reader = io::PipeReader::from(fd);
        reader.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn socket_that_a_library_owns_is_waited_for_in_both_directions() {
    everywhere(|way| {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let watched = Arc::new(Descriptor::duplicate_of(&near).unwrap());
        let near = Arc::new(near);
        let done = Arc::new(AtomicBool::new(false));
        const BYTES: usize = 1 << 20;
        let writer = {
            let (watched, near, done) = (watched.clone(), near.clone(), done.clone());
            way.go(move || {
                let data = vec![1; BYTES];
                let mut sent = 0;
                while sent < BYTES {
                    sent += watched
                        .write_with(|| (&*near).write(&data[sent..]))
                        .unwrap();
                }
                done.store(true, Ordering::SeqCst);
            })
        };
        let echo = way.go(move || {
            let far = Shared::new(Descriptor::new(far));
            let (mut from, mut to) = (far.clone(), far);
            let mut part = vec![0; 65_536];
            let mut got = 0;
            while got < BYTES {
                got += from.read(&mut part).unwrap();
            }
            to.write_all(b"all").unwrap();
        });
        let mut answer = [0; 3];
        let count = watched.read_with(|| (&*near).read(&mut answer)).unwrap();
        assert_eq!(&answer[..count], &b"all"[..count]);
        writer.join();
        assert!(done.load(Ordering::SeqCst));
        echo.join();
    });
}

#[test]
fn shared_stream_is_read_and_written_by_its_clones() {
    everywhere(|way| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = Shared::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (far, _) = listener.accept().unwrap();
        let mut writer = near.clone();
        let writes = way.go(move || writer.write_all(&[5; 10_000]).unwrap());
        let echo = way.go(move || {
            let mut got = vec![0; 10_000];
            (&far).read_exact(&mut got).unwrap();
            (&far).write_all(&got).unwrap();
        });
        let mut got = Vec::new();
        near.clone().read_to_end(&mut got).unwrap();
        assert_eq!(got, [5; 10_000]);
        writes.join();
        echo.join();
    });
}

#[test]
fn goroutines_that_wait_for_many_descriptors_are_each_woken() {
    everywhere(|way| {
        if way == Way::Threads {
            return;
        }
        let events: Vec<_> = (0..200)
            .map(|_| Arc::new(EventFd::from_flags(EfdFlags::empty()).unwrap()))
            .collect();
        let waits: Vec<_> = events
            .iter()
            .map(|event| {
                let watched = Descriptor::duplicate_of(&**event).unwrap();
                go(move || watched.wait_readable())
            })
            .collect();
        sleep(Duration::from_millis(1));
        events.iter().for_each(|event| {
            event.write(1).unwrap();
        });
        waits
            .into_iter()
            .for_each(|task| task.join().unwrap().unwrap());
    });
}
