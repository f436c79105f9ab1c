//! The types of the records in a result file.
//!
//! A result file is JSON Lines: first a [`Header`], then [`Counters`], [`Group`]s, [`Failure`]s,
//! [`EnvironmentSample`]s, [`Taint`]s, [`CrossCheck`]s and [`Block`] marks in order of time, last
//! an [`End`]. A file without an `End` belongs to a run that was cut short; its content is still
//! valid.
//!
//! A *kept* run ([`crate::store::Kept`]) has one line of columns for the records of each kind,
//! between the header and the end.
//!
//! # Invariants
//!
//! 1. Lines are only appended, and never after the `End`. A resumed run first removes the lines
//!    after the last block mark, with an interrupted `End`.
//! 2. Units are in the names: `_ns`, `_bytes`, `_count`, `_per_s`, `_ratio`.
//! 3. A reader keeps fields and records that it does not know (`extra`, [`Record::Unknown`]).
//!    [`SCHEMA_VERSION`] rises only when an old reader would *misread* a new file.

mod counters;
mod cross_check;
mod end;
mod environment;
mod group;
mod header;
mod host;
mod lane;
mod workload;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

pub use counters::Counters;
pub use cross_check::CrossCheck;
pub use end::{Block, End};
pub use environment::{EnvironmentSample, Phase, Taint, taint_meaning, taint_title};
pub use group::{Failure, FailureKind, Group, Latency, Memory, Sample, WarmUp};
pub use header::{Depth, Design, Header, Merged, Shard};
pub use host::{Cache, CoreKind, Cores, Host, MACHINE_KEY_VERSION, MachineKeyInputs, UNKNOWN};
pub use lane::Lane;
pub use workload::{
    Better, FirstQuestion, FirstScreen, Measure, Metric, Role, SameAs, Workload, WorkloadGroup,
};

/// The version of files of plain lines.
pub const SCHEMA_VERSION: u32 = 1;
/// The version of files with columns, such as kept runs, and the newest that can be read.
pub const COLUMNS_VERSION: u32 = 2;

/// Fields of a later version.
pub type Extra = BTreeMap<String, Value>;

/// A workload's parameters by name, each with its unit in its name.
pub type Parameters = BTreeMap<String, u64>;

/// One line of a result file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// The first line.
    Header(Box<Header>),
    /// Samples of one lane on one workload, from one process in one block.
    Group(Group),
    /// A cell that could not be measured, and why.
    Failure(Failure),
    /// The kernel's counts for a cell.
    Counters(Counters),
    /// A reading of the host.
    Environment(EnvironmentSample),
    /// A disturbance: a reason to trust the figures less.
    Taint(Taint),
    /// Another tool's measurement of the same operation.
    CrossCheck(CrossCheck),
    /// A block is complete and on the disk.
    Block(Block),
    /// The last line.
    End(End),
    /// A kind of record of a later version, kept as it was read.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(serde_json::Map<String, Value>),
}

impl Record {
    /// The `type` of its line.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Record::Header(_) => "header",
            Record::Group(_) => "group",
            Record::Failure(_) => "failure",
            Record::Counters(_) => "counters",
            Record::Environment(_) => "environment",
            Record::Taint(_) => "taint",
            Record::CrossCheck(_) => "cross_check",
            Record::Block(_) => "block",
            Record::End(_) => "end",
            Record::Unknown(object) => object.get("type").and_then(Value::as_str).unwrap_or(""),
        }
    }

    /// Reads one record from a parsed line and checks it. A record of an unknown kind is kept.
    ///
    /// # Errors
    ///
    /// What is wrong with the record.
    pub fn from_value(value: Value) -> Result<Record, String> {
        let Value::Object(mut object) = value else {
            return Err("a record must be a JSON object".to_owned());
        };
        let Some(Value::String(kind)) = object.remove("type") else {
            return Err("a record must have a text field \"type\"".to_owned());
        };
        Record::of_kind(&kind, Value::Object(object))
    }

    /// Reads one record of this kind and checks it.
    ///
    /// # Errors
    ///
    /// As [`from_value`](Self::from_value).
    pub(crate) fn of_kind<'de, D>(kind: &str, fields: D) -> Result<Record, String>
    where
        D: Deserializer<'de, Error = serde_json::Error>,
    {
        fn read<'de, T, D>(fields: D, record: fn(T) -> Record) -> Result<Record, D::Error>
        where
            T: Deserialize<'de>,
            D: Deserializer<'de>,
        {
            T::deserialize(fields).map(record)
        }
        let record = match kind {
            "header" => read(fields, |header| Record::Header(Box::new(header))),
            "group" => read(fields, Record::Group),
            "failure" => read(fields, Record::Failure),
            "counters" => read(fields, Record::Counters),
            "environment" => read(fields, Record::Environment),
            "taint" => read(fields, Record::Taint),
            "cross_check" => read(fields, Record::CrossCheck),
            "block" => read(fields, Record::Block),
            "end" => read(fields, Record::End),
            _ => serde_json::Map::deserialize(fields).map(|mut object| {
                object.insert("type".to_owned(), Value::from(kind));
                Record::Unknown(object)
            }),
        }
        .map_err(|error| format!("a record of type \"{kind}\" is wrong: {error}"))?;
        match &record {
            Record::Header(header) => header.check()?,
            Record::Group(group) => group.check()?,
            Record::Counters(counters) => counters.check()?,
            _ => {}
        }
        Ok(record)
    }
}

/// The JSON Schema of one line of a result file, as in `reports/result.schema.json`.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Record).to_value();
    if let Value::Object(object) = &mut schema {
        object.insert(
            "title".to_owned(),
            Value::from(format!(
                "threadbare result line, schema version {SCHEMA_VERSION}"
            )),
        );
    }
    schema
}
