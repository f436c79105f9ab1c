//! A whole run with odd values. Unlike the input of the target `reader`, it always passes the JSON
//! parser. So the statistics and the page are reached more often.
#![no_main]

#[path = "../../tests/it/hostile/edit.rs"]
mod edit;

use std::io::Cursor;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use reports::html;
use reports::store::{Limits, read_from};

const SEED: &str = include_str!("../../tests/fixtures/v1-every-section.jsonl");

fuzz_target!(|choices: &[u8]| {
    let choices = &choices[..choices.len().min(64 * edit::BYTES_OF_AN_EDIT)];
    let text = edit::edited(SEED, choices);
    if let Ok(run) = read_from(
        Cursor::new(text),
        Path::new("fuzz.jsonl"),
        Limits::default(),
    ) {
        let page = html::render(&run);
        assert!(page.ends_with("</html>") && !page.contains("<script>alert"));
    }
});
