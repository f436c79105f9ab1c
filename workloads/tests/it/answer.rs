//! The program that the lane process-spawn executes.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

/// All children write to one pipe, so a number in two pieces could be mixed with another's. A
/// buffered writer would split a number at the byte 10, the end of a line.
#[test]
fn number_is_handed_over_in_one_write() {
    for number in [1, 10, 10 << 8 | 10, u64::MAX] {
        // In packet mode one read returns the bytes of one write.
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_DIRECT).unwrap();
        let status = Command::new(env!("CARGO_BIN_EXE_threadbare-lane"))
            .args(["answer", &number.to_string()])
            .stdin(Stdio::null())
            .stdout(write)
            .status()
            .unwrap();
        assert!(status.success(), "{number}");
        let mut packet = [0; 64];
        let length = File::from(read).read(&mut packet).unwrap();
        assert_eq!(packet[..length], number.to_le_bytes(), "{number}");
    }
}
