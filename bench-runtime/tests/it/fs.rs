//! Files, which helper threads read and write.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use bench_runtime::fs::{self, File, OpenOptions};
use bench_runtime::{go, goroutines, yield_now};

use crate::sched_support::at_each;
use crate::support::{Way, everywhere};

#[test]
fn whole_files_are_written_read_copied_renamed_and_removed() {
    everywhere(|_: Way| {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&a, "text").unwrap();
        assert_eq!(fs::read_to_string(&a).unwrap(), "text");
        assert_eq!(fs::copy(&a, &b).unwrap(), 4);
        assert_eq!(fs::read(&b).unwrap(), b"text");
        fs::remove_file(&a).unwrap();
        assert!(!fs::exists(&a).unwrap());
        fs::rename(&b, &a).unwrap();
        fs::hard_link(&a, &b).unwrap();
        assert_eq!(fs::metadata(&b).unwrap().len(), 4);
        std::os::unix::fs::symlink(&a, folder.path().join("link")).unwrap();
        let link = folder.path().join("link");
        assert_eq!(fs::read_link(&link).unwrap(), a);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            fs::canonicalize(&link).unwrap(),
            fs::canonicalize(&a).unwrap()
        );

        let deep = folder.path().join("x/y/z");
        let missing = fs::create_dir(&deep).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        fs::create_dir_all(&deep).unwrap();
        let full = fs::remove_dir(folder.path().join("x")).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::DirectoryNotEmpty);
        fs::remove_dir(&deep).unwrap();
        fs::remove_dir_all(folder.path().join("x")).unwrap();
        assert!(!fs::exists(folder.path().join("x")).unwrap());
    });
}

#[test]
fn a_file_is_read_and_written_at_its_position() {
    everywhere(|_: Way| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = File::create_new(&path).unwrap();
        let text: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        file.write_all(&text).unwrap();
        assert_eq!(file.stream_position().unwrap(), 400_000);
        assert_eq!(file.read(&mut [0; 8]).unwrap(), 0, "it is at the end");
        file.seek(SeekFrom::Start(4)).unwrap();
        let mut four = [0; 4];
        file.read_exact(&mut four).unwrap();
        assert_eq!(u32::from_le_bytes(four), 1);
        assert_eq!(file.read_at(&mut four, 399_996).unwrap(), 4);
        assert_eq!(u32::from_le_bytes(four), 99_999);
        assert_eq!(file.read_at(&mut four, 400_000).unwrap(), 0);
        assert_eq!(
            file.read_at(&mut four, u64::MAX).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(file.stream_position().unwrap(), 8);
        file.write_at(b"abcd", 8).unwrap();
        file.read_exact(&mut four).unwrap();
        assert_eq!(&four, b"abcd");
        let mut rest = Vec::new();
        assert_eq!(file.read_to_end(&mut rest).unwrap(), 400_000 - 12);
        assert!(rest == text[12..]);
        file.set_len(3).unwrap();
        file.sync_all().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 3);

        let mut log = OpenOptions::new().append(true).open(&path).unwrap();
        log.write_all(b"\nlast\n").unwrap();
        let lines = BufReader::new(File::open(&path).unwrap()).split(b'\n');
        let lines: Vec<_> = lines.map(Result::unwrap).collect();
        assert_eq!(lines, [&[0, 0, 0][..], b"last"]);
        let again = File::create_new(&path).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        let read_only = File::open(&path).unwrap().write(b"x").unwrap_err();
        assert_eq!(read_only.raw_os_error(), Some(libc::EBADF));
    });
}

/// Sizes below, at and above the batch of one blocking call.
#[test]
fn a_folder_of_any_size_is_listed_whole() {
    everywhere(|_: Way| {
        for count in [0, 1, 255, 256, 257, 600] {
            let folder = tempfile::tempdir().unwrap();
            let names: BTreeSet<_> = (0..count).map(|n| n.to_string()).collect();
            for name in &names {
                fs::write(folder.path().join(name), name).unwrap();
            }
            let entries = fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
            let seen: BTreeSet<_> = entries
                .map(|e| e.file_name().into_string().unwrap())
                .collect();
            assert_eq!(seen, names);
        }
        let none = fs::read_dir("/no/such/folder").unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
    });
}

/// Opening and reading a named pipe wait for the other end.
#[test]
fn file_operation_that_waits_lets_other_goroutines_run() {
    at_each(&[1, 2, 64], |_| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let waits = || goroutines().iter().any(|g| g.state == "blocking call");
        let theirs = path.clone();
        let reader = go(move || {
            let mut text = String::new();
            File::open(theirs)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            text
        });
        while !waits() {
            yield_now();
        }
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        while !waits() {
            yield_now();
        }
        writer.write_all(b"late").unwrap();
        drop(writer);
        assert_eq!(reader.join().unwrap(), "late");
    });
}

/// A read that returns 0 bytes may consume an empty datagram, or an end of input typed on a
/// terminal.
#[test]
fn reads_continue_after_one_that_returned_0_bytes() {
    everywhere(|_: Way| {
        let (near, far) = UnixDatagram::pair().unwrap();
        far.send(b"").unwrap();
        far.send(b"second").unwrap();
        let mut file = File::from(OwnedFd::from(near));
        let mut buf = [0; 16];
        assert_eq!(file.read(&mut buf).unwrap(), 0);
        assert_eq!(file.read(&mut buf).unwrap(), 6);
        let pty = nix::pty::openpty(None, None).unwrap();
        let mut near = std::fs::File::from(pty.master);
        let mut terminal = File::from(pty.slave);
        near.write_all(b"line\n\x04late\n").unwrap();
        assert_eq!(terminal.read(&mut buf).unwrap(), 5);
        assert_eq!(terminal.read(&mut buf).unwrap(), 0);
        assert_eq!(terminal.read(&mut buf).unwrap(), 5);
    });
}

#[test]
fn many_goroutines_write_and_read_files_at_once() {
    at_each(&[1, 2, 64], |_| {
        let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
        let tasks: Vec<_> = (0..200)
            .map(|n: usize| {
                let folder = folder.clone();
                go(move || {
                    let path = folder.path().join(n.to_string());
                    fs::write(&path, vec![b'x'; n]).unwrap();
                    fs::read(&path).unwrap().len()
                })
            })
            .collect();
        let sum: usize = tasks.into_iter().map(|task| task.join().unwrap()).sum();
        assert_eq!(sum, 199 * 200 / 2);
    });
}
