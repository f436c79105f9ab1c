//! A workload as the header describes it: all that the report prints of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Extra;

/// What is run, in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workload {
    /// The stable id, such as `spawn.batch`; groups refer to it.
    pub id: String,
    /// A title of a few words.
    pub title: String,
    /// The question that it answers, as one sentence with its question mark.
    pub question: String,
    /// What one operation is, as a noun: `spawn`, `switch`, `request`.
    pub operation: String,
    /// What a task does once an operation, as a gerund phrase that can begin
    /// or end a sentence: `spawning and joining one task`.
    pub activity: String,
    /// What is measured, the most important first.
    pub measures: Vec<Measure>,
    /// Further figures of the samples' `metrics` that the report should show.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// The parameter that is swept, where one is: the x axis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis: Option<String>,
    /// Where figures answer different questions, which one this is: `raw stack
    /// switch`, `scheduler hop`, `kernel I/O hop`; may be empty.
    #[serde(default)]
    pub level: String,
    /// What each parameter means, by name; those of code numbers foremost.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// What a figure includes; may be empty.
    #[serde(default)]
    pub includes: String,
    /// What a figure leaves out; may be empty.
    #[serde(default)]
    pub leaves_out: String,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Workload {
    /// What `value` of a parameter means whose values are codes: one described
    /// as `0: an atomic, 1: a mutex`. `None` for parameters that count.
    #[must_use]
    pub fn words_of_code(&self, parameter: &str, value: u64) -> Option<&str> {
        fn code(text: &str) -> Option<(u64, &str)> {
            let (digits, words) = text.split_once(": ")?;
            Some((digits.trim().parse().ok()?, words))
        }
        let meaning = self.parameters.get(parameter)?;
        code(meaning)?;
        let (mut found, mut rest) = (None, meaning.as_str());
        while let Some((number, words)) = code(rest) {
            // Up to the next code; its words may hold commas themselves.
            let mut commas = words.match_indices(", ").map(|(at, _)| at);
            let end = commas.find(|&at| code(&words[at + 2..]).is_some());
            if number == value {
                found = Some(&words[..end.unwrap_or(words.len())]);
            }
            rest = end.map_or("", |at| &words[at + 2..]);
        }
        found.filter(|words| !words.is_empty())
    }
}

/// What kind of figure a workload gives.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Wall time of one operation: `elapsed_ns / operations_count`.
    Time,
    /// Operations a second.
    Throughput,
    /// The memory ledger, by regression over the task count.
    Memory,
    /// The distribution of latencies.
    Latency,
    /// Speed-up over the number of workers (the [`Workload::axis`]).
    Scaling,
    /// Efficiency over the number of workers, where the work grows with them:
    /// the time with the fewest over the time.
    Efficiency,
}

/// Which way of a figure is good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less is better.
    #[default]
    Lower,
    /// More is better.
    Higher,
}

/// One further figure of a workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Its name in the samples, the unit last.
    pub name: String,
    /// What a reader calls it.
    pub title: String,
    /// Which way is good.
    #[serde(default)]
    pub better: Better,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_words_and_counts_have_none() {
        let meanings = [
            ("means", "0: an atomic, 1: a mutex, fair, 2: a channel"),
            ("skewed", "1: later chunks are larger"),
            ("tasks_count", "tasks; 0: as many as CPUs"),
        ];
        let workload = Workload {
            parameters: meanings
                .map(|(name, words)| (name.into(), words.into()))
                .into(),
            ..Workload::default()
        };
        let words = |name, value| workload.words_of_code(name, value);
        assert_eq!(words("means", 0), Some("an atomic"));
        assert_eq!(words("means", 1), Some("a mutex, fair"));
        assert_eq!(words("means", 2), Some("a channel"));
        assert_eq!(words("means", 3), None);
        assert_eq!(words("skewed", 1), Some("later chunks are larger"));
        assert_eq!(words("tasks_count", 0), None);
        assert_eq!(words("other", 0), None);
    }
}
