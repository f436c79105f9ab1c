//! The result file's schema: checked in, current, and valid for the fixtures.

use std::path::{Path, PathBuf};

use reports::schema::{Group, Record, Sample, json_schema};
use serde_json::{Value, json};

pub(crate) fn in_crate(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The kept runs of one machine. The tests that use them do not change when a run of another one is
/// kept.
pub(crate) fn runs_of_one_machine() -> PathBuf {
    in_crate("hardware/m3-x86_64-a59c372e780ae70b")
}

#[test]
fn checked_in_schema_is_the_one_that_the_types_make() {
    let path = in_crate("result.schema.json");
    let made = format!(
        "{}\n",
        serde_json::to_string_pretty(&json_schema()).expect("a schema")
    );
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &made).expect("the schema's file can be written");
    }
    let kept = std::fs::read_to_string(&path).expect("reports/result.schema.json");
    assert!(
        kept == made,
        "the schema has changed: UPDATE_SCHEMA=1 cargo test -p reports"
    );
}

#[test]
fn every_line_of_every_fixture_keeps_to_the_schema() {
    let validator = jsonschema::validator_for(&json_schema()).expect("a good schema");
    let mut lines = 0;
    for entry in std::fs::read_dir(in_crate("tests/fixtures")).expect("the fixtures") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        for (index, line) in std::fs::read_to_string(&path)
            .expect("text")
            .lines()
            .enumerate()
        {
            let value: Value = serde_json::from_str(line).expect("JSON");
            let known = !matches!(Record::from_value(value.clone()), Ok(Record::Unknown(_)));
            if known && let Err(error) = validator.validate(&value) {
                panic!("{}:{}: {error}", path.display(), index + 1);
            }
            lines += 1;
        }
    }
    assert!(lines >= 9, "there are fixtures");
}

#[test]
fn schema_refuses_a_sample_without_its_time() {
    let validator = jsonschema::validator_for(&json_schema()).expect("a good schema");
    let group = Group {
        samples: vec![Sample {
            elapsed_ns: 5,
            operations_count: 1,
            ..Sample::default()
        }],
        ..Group::default()
    };
    let mut value = serde_json::to_value(Record::Group(group)).expect("JSON");
    assert!(validator.is_valid(&value));
    value["samples"][0]
        .as_object_mut()
        .expect("an object")
        .remove("elapsed_ns");
    assert!(!validator.is_valid(&value));
}

#[test]
fn unknown_fields_survive_reading_and_writing() {
    let line = json!({
        "type": "group", "workload": "spawn.one", "lane": "thread", "process_index": 0,
        "block_index": 0, "order_index": 0, "from_the_future": {"a": [1, 2]},
        "samples": [{"elapsed_ns": 1, "operations_count": 1, "also_new": "x"}]
    });
    let record = Record::from_value(line).expect("a group");
    let again = serde_json::to_value(&record).expect("JSON");
    assert_eq!(again["from_the_future"], json!({"a": [1, 2]}));
    assert_eq!(again["samples"][0]["also_new"], "x");
}

#[test]
fn unknown_kind_of_record_survives_reading_and_writing() {
    let line = json!({"type": "energy", "joules": 3});
    let record = Record::from_value(line.clone()).expect("kept");
    assert_eq!(serde_json::to_value(&record).expect("JSON"), line);
}

#[test]
fn known_kind_with_wrong_contents_is_refused_with_the_reason() {
    let problem = Record::from_value(json!({"type": "group", "lane": 7})).expect_err("wrong");
    assert!(
        problem.contains("\"group\"") && problem.contains("expected a string"),
        "{problem}"
    );
    let problem = Record::from_value(json!({
        "type": "group", "workload": "w", "lane": "l", "process_index": 0, "block_index": 0,
        "order_index": 0, "samples": [{"elapsed_ns": 1, "operations_count": 0}]
    }))
    .expect_err("wrong");
    assert!(problem.contains("operations_count"), "{problem}");
}
