//! Any bytes of a result file are read or refused, and a run that was read can be rendered.
#![no_main]

use std::io::Cursor;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use reports::html;
use reports::store::{Limits, read_from};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(run) = read_from(Cursor::new(bytes), Path::new("fuzz.jsonl"), Limits::default()) {
        assert!(html::render(&run).ends_with("</html>"));
    }
});
