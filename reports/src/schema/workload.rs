//! A workload as the header describes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Extra, Parameters};

/// A workload, in words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Workload {
    /// The stable id, such as `spawn.batch`; groups refer to it.
    pub id: String,
    /// A title of a few words.
    pub title: String,
    /// The question that it answers, as one sentence.
    pub question: String,
    /// The name of one operation, as a noun: `spawn`, `switch`, `request`.
    pub operation: String,
    /// A task's work in one operation, as a phrase: `spawning and joining one task`.
    pub activity: String,
    /// The quantities that are measured, the most important first.
    pub measures: Vec<Measure>,
    /// The metrics that the report shows.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// The swept parameter, if there is one: the x axis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis: Option<String>,
    /// The kind of cost: `raw stack switch`, `scheduler hop`, `kernel I/O hop`. Workloads of
    /// different kinds are never compared. May be empty.
    #[serde(default)]
    pub level: String,
    /// The meaning of each parameter, and of its values if they are codes.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The id of its group in the header; if empty, the first word of `id`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Its place on the page's first screen, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_screen: Option<FirstScreen>,
    /// Further uses of its figures in the report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// The ids of its most important quantities; if empty, the first quantity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub telling: Vec<String>,
    /// Another workload that this one repeats at some values of its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<SameAs>,
    /// Costs that a figure includes; may be empty.
    #[serde(default)]
    pub includes: String,
    /// Costs that a figure leaves out; may be empty.
    #[serde(default)]
    pub leaves_out: String,
    /// Unknown fields, kept.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Workload {
    /// The id of its group.
    #[must_use]
    pub fn group(&self) -> &str {
        match self.group.as_str() {
            "" => self.id.split('.').next().unwrap_or(""),
            group => group,
        }
    }

    /// The meaning of a code, if the parameter is described as `0: an atomic, 1: a mutex`. `None`
    /// for parameters that count.
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
            // The words end at the next code, because they may contain commas.
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

/// Workloads under one heading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadGroup {
    /// The id, such as `spawn`; workloads refer to it.
    pub id: String,
    /// The heading.
    pub title: String,
    /// One or two sentences below the heading; may be empty.
    #[serde(default)]
    pub lead: String,
}

/// A question that the page answers first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FirstQuestion {
    /// Which lane is the cheapest to start tasks with?
    Start,
    /// Which lane needs the least memory for a task that waits?
    Wait,
    /// Which lane switches between tasks at the lowest cost?
    Switch,
    /// Which lane serves requests best?
    Serve,
    /// Which lane computes on all CPUs in the least time?
    Compute,
    /// A value of a later version.
    #[serde(other)]
    Unknown,
}

/// The place of a workload on the page's first screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirstScreen {
    /// The question that it answers.
    pub question: FirstQuestion,
    /// Of the measured workloads, the one with the lowest rank answers the question.
    pub rank: u32,
    /// The id of the quantity that answers it; absent for the main one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<String>,
    /// The values that a case must have to answer it.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub parameters: Parameters,
}

/// Further uses of a workload's figures in the report.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The cost of creating a task.
    Create,
    /// A task's start, and as `finish_ns` its end.
    StartAndEnd,
    /// The cost of a switch by the lane's scheduler.
    Switch,
    /// The cost of a switch by the kernel, if processes and threads do the same.
    ProcessSwitch,
    /// The cost of a message.
    Communicate,
    /// A token to another task and back: two switches.
    RoundTrip,
    /// The round trip of a token, by the number of CPUs (`workers_count`).
    RoundTripByCpus,
    /// The memory of a task that waits.
    WaitingMemory,
    /// The memory of a task deep in its stack.
    DeepMemory,
    /// The memory of a task after it was deep in its stack.
    ShrunkMemory,
    /// `tasks_count` tasks that sleep for `sleep_ns` at the same time.
    Sleep,
    /// A sleeper beside tasks that only compute; `worst_delay_ns` is its delay.
    Hog,
    /// A counter, by the `means`: 0 an atomic, 1 a mutex, 2 a channel.
    Counter,
    /// A value of a later version.
    #[serde(other)]
    Unknown,
}

/// When a workload measures the same as another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SameAs {
    /// The other workload's id.
    pub workload: String,
    /// The parameters of this workload for which it is the same.
    pub parameters: Parameters,
}

/// The kind of figure that a workload gives.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Wall time of one operation: `elapsed_ns / operations_count`.
    Time,
    /// Operations a second.
    Throughput,
    /// The memory ledger, a regression over the task count.
    Memory,
    /// The distribution of latencies.
    Latency,
    /// Speed-up over workers (the [`Workload::axis`]).
    Scaling,
    /// Efficiency over workers, if the work grows with them: the time with the fewest workers ÷ the
    /// time.
    Efficiency,
}

/// Whether a lower or a higher figure is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// A lower figure is better.
    #[default]
    Lower,
    /// A higher figure is better.
    Higher,
}

/// A further figure of a workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Its name in the samples, which ends in the unit.
    pub name: String,
    /// Its name in the report.
    pub title: String,
    /// Whether a lower or a higher figure is better.
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
