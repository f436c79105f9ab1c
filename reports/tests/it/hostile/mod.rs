//! Malicious result files: they are read or refused without a panic, and none of their content runs
//! in the page. `scripts/fuzz.sh` searches for longer.

mod edit;

use std::io::Cursor;
use std::path::Path;

use proptest::prelude::*;
use reports::Run;
use reports::gate::gate;
use reports::store::{Limits, ReadError, read_from};
use reports::{compare, html};

use edit::{BYTES_OF_AN_EDIT, edited};

/// A run with content for every section of the page.
const SEED: &str = include_str!("../../fixtures/v1-every-section.jsonl");

fn read(bytes: &[u8]) -> Result<Run, ReadError> {
    read_from(
        Cursor::new(bytes),
        Path::new("run.jsonl"),
        Limits::default(),
    )
}

/// All output that is made from a run.
fn all_output(run: &Run) -> String {
    let page = html::render(run);
    let pair = [("a".to_owned(), run.clone()), ("b".to_owned(), run.clone())];
    let comparison = html::render_comparison(&compare::compare(&pair));
    // The gate refuses two runs with the same samples in the same order.
    let mut other = run.clone();
    other.groups.rotate_left(usize::from(run.groups.len() > 1));
    let gate = gate(run, &other);
    assert!(gate.rows.is_empty() || !gate.reasons.iter().any(String::is_empty));
    page + &comparison
}

#[test]
fn seed_fills_the_page() {
    let page = html::render(&read(SEED.as_bytes()).expect("a good file"));
    for section in ["verdicts", "peers", "questions", "folklore", "trust"] {
        assert!(
            page.contains(&format!("<section id=\"{section}\"")),
            "{section}"
        );
    }
}

#[test]
fn every_seed_of_the_fuzzer_is_read_or_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/reader");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is checked in") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
        match read(&bytes) {
            Ok(run) => assert!(all_output(&run).ends_with("</html>")),
            Err(error) => assert!(error.to_string().contains("run.jsonl")),
        }
        count += 1;
    }
    assert!(count > 5, "{count} seeds");
}

#[test]
fn values_that_once_caused_a_panic_are_shown_or_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/values");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is checked in") {
        let choices = std::fs::read(entry.expect("an entry").path()).expect("a file");
        match read(edited(SEED, &choices).as_bytes()) {
            Ok(run) => assert!(all_output(&run).ends_with("</html>")),
            Err(error) => assert!(error.to_string().starts_with("run.jsonl")),
        }
        count += 1;
    }
    assert!(count > 3, "{count} seeds");
}

#[test]
fn ledger_whose_sum_would_overflow_is_refused() {
    let part = "\"slab_bytes\":";
    let (before, after) = SEED.split_once(part).expect("a ledger");
    let digits = after.find([',', '}']).expect("its end");
    for (value, is_good) in [("9007199254740991", true), ("9223372036854775807", false)] {
        let odd = format!("{before}{part}{value}{}", &after[digits..]);
        let said = read(odd.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(said.is_ok(), is_good, "{value}: {:?}", said.err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn odd_values_are_shown_or_refused_and_never_run(
        choices in prop::collection::vec(any::<u8>(), BYTES_OF_AN_EDIT..10 * BYTES_OF_AN_EDIT),
    ) {
        match read(edited(SEED, &choices).as_bytes()) {
            Ok(run) => prop_assert!(!all_output(&run).contains("<script>alert")),
            Err(error) => prop_assert!(error.to_string().starts_with("run.jsonl")),
        }
    }
}
