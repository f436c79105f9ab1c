//! Any words of a command line are accepted, or refused with a reason.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use benches::cli::Arguments;
use clap::Parser;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let words = bytes.split(|&byte| byte == 0).take(64);
    let words = words.map(|word| OsString::from_vec(word.to_vec()));
    let program = OsString::from("threadbare");
    if let Err(error) = Arguments::try_parse_from([program].into_iter().chain(words)) {
        assert!(!error.to_string().is_empty());
    }
});
