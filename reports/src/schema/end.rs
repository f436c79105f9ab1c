//! The ends of blocks and of the run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Extra;

/// The end of a block: all of its records are above this line.
///
/// A resumed run measures the records after its last block again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    /// Which block, from 0.
    pub block_index: u64,
    /// Time from the start of the run to the block's end.
    #[serde(default)]
    pub at_ns: u64,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The last line of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// When the run ended (RFC 3339, with its offset).
    pub finished: String,
    /// True if a person or the time limit cut the run short.
    #[serde(default)]
    pub interrupted: bool,
    /// Groups in the file.
    pub groups_count: u64,
    /// Samples in the file.
    pub samples_count: u64,
    /// Failures in the file.
    pub failures_count: u64,
    /// Records before this one, by type, without the header; empty in older files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub records_count: BTreeMap<String, u64>,
    /// How long the run took.
    #[serde(default)]
    pub elapsed_ns: u64,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}
