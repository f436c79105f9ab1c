//! Panics at once: `scripts/fuzz.sh` first checks that the fuzzer finds it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| assert!(bytes.len() > 1 << 20, "the canary sings"));
