//! What the sections share.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use maud::Markup;

use crate::analysis::{Analysis, Case, Row};
use crate::format;
use crate::plot::{COLOURS_COUNT, Caption};
use crate::run::Run;
use crate::schema::{Design, Role, Workload};
use crate::stats::Verdict;

#[derive(Clone, Copy)]
pub(super) struct Drawn {
    pub(super) samples: bool,
    pub(super) phones: bool,
}

pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) lead: Markup,
    pub(super) body: Markup,
}

pub(super) struct View<'a> {
    pub(super) run: &'a Run,
    pub(super) analysis: &'a Analysis,
    pub(super) drawn: Drawn,
    lanes: HashMap<&'a str, usize>,
    varying: HashMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> View<'a> {
    pub(super) fn new(run: &'a Run, analysis: &'a Analysis, drawn: Drawn) -> View<'a> {
        let lanes = run.header.lanes.iter().enumerate();
        let lanes = lanes
            .map(|(index, lane)| (lane.name.as_str(), index))
            .collect();
        let mut values: HashMap<&str, BTreeMap<&str, BTreeSet<u64>>> = HashMap::new();
        for group in &run.groups {
            let of_workload = values.entry(&group.workload).or_default();
            for (name, value) in &group.parameters {
                of_workload.entry(name).or_default().insert(*value);
            }
        }
        let varying = values
            .into_iter()
            .map(|(workload, names)| {
                let several = names.into_iter().filter(|(_, values)| values.len() > 1);
                (workload, several.map(|(name, _)| name).collect())
            })
            .collect();
        View {
            run,
            analysis,
            drawn,
            lanes,
            varying,
        }
    }

    /// The lane's index in the header, which determines its colour and shape.
    pub(super) fn lane_index(&self, lane: &str) -> usize {
        self.lanes
            .get(lane)
            .copied()
            .unwrap_or(usize::from(u8::MAX))
    }

    pub(super) fn swatch(&self, lane: &str) -> String {
        format!("swatch l{}", self.lane_index(lane) % COLOURS_COUNT)
    }

    /// The name of one task, with its article.
    pub(super) fn a_task(&self, lane: &str) -> String {
        let noun = self.noun(lane);
        let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']);
        format!("{} {noun}", if vowel { "an" } else { "a" })
    }

    pub(super) fn noun(&self, lane: &str) -> String {
        match self.run.lane(lane).map(|lane| lane.noun.as_str()) {
            None | Some("") => lane.to_owned(),
            Some(noun) => noun.to_owned(),
        }
    }

    pub(super) fn case_text(&self, workload: &str, case: &Case) -> String {
        let varying = self.varying.get(workload);
        let is_shown = |name: &str| varying.is_none_or(|names| names.contains(name));
        case.only(is_shown).text(self.run.workload(workload))
    }

    pub(super) fn fixed_text(&self, workload: &str) -> String {
        let Some(varying) = self.varying.get(workload) else {
            return String::new();
        };
        let group = self
            .run
            .groups
            .iter()
            .find(|group| group.workload == workload);
        let Some(group) = group else {
            return String::new();
        };
        Case(group.parameters.clone())
            .only(|name| !varying.contains(name))
            .text(self.run.workload(workload))
    }

    /// The workload's axis, if its values are counts. Codes have no distance, so they are no axis.
    pub(super) fn counted_axis<'w>(
        workload: &'w Workload,
        mut cases: impl Iterator<Item = &'a Case>,
    ) -> Option<&'w str> {
        let axis = workload.axis.as_deref()?;
        let is_code = |case: &Case| {
            let value = case.0.get(axis);
            value.is_some_and(|value| workload.words_of_code(axis, *value).is_some())
        };
        (!cases.any(is_code)).then_some(axis)
    }

    pub(super) fn with_role(&self, role: Role) -> impl Iterator<Item = &'a Workload> {
        let workloads = self.run.header.workloads.iter();
        workloads.filter(move |workload| workload.roles.contains(&role))
    }

    pub(super) fn first_rows(&self, workload: &Workload) -> BTreeMap<&'a Case, Vec<&'a Row>> {
        let mut cases: BTreeMap<&Case, Vec<&Row>> = BTreeMap::new();
        for row in &self.analysis.rows {
            if row.workload == workload.id && row.quantity.rank == 0 && row.estimate.is_some() {
                cases.entry(&row.case).or_default().push(row);
            }
        }
        cases
    }

    /// Of the cases with the most lanes, the last, which is the largest.
    pub(super) fn main_case(&self, workload: &Workload) -> Option<(&'a Case, Vec<&'a Row>)> {
        self.first_rows(workload)
            .into_iter()
            .max_by_key(|(_, rows)| rows.len())
    }

    /// A chart's caption; the id becomes an [`anchor`].
    pub(super) fn caption(id: String, title: String, description: String) -> Caption {
        Caption {
            id: anchor(&id),
            title,
            description,
        }
    }
}

/// `text` as letters, digits, dots and hyphens.
pub(super) fn anchor(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || letter == '.' {
                letter
            } else {
                '-'
            }
        })
        .collect()
}

/// How much better or worse: `86× faster`, `12% slower`.
pub(super) fn effect(row: &Row) -> Option<(String, Verdict)> {
    let standing = row.standing.as_ref()?;
    let as_cost = row.quantity.as_cost(standing.ratio);
    let words = row.quantity.words(standing.verdict);
    let text = match standing.verdict {
        Verdict::Faster => format!("{} {words}", factor(1.0 / as_cost.value)),
        Verdict::Slower => format!("{} {words}", factor(as_cost.value)),
        Verdict::Same => format!(
            "no difference above {:.0}%",
            standing.bound.margin() * 100.0
        ),
        Verdict::CannotTell => words.to_owned(),
    };
    Some((text, standing.verdict))
}

/// A factor above 1: `12%`, `1.6×`, `86×`.
pub(super) fn factor(ratio: f64) -> String {
    if ratio < 1.5 {
        format!("{:.0}%", (ratio - 1.0) * 100.0)
    } else if ratio < 10.0 {
        format!("{ratio:.1}×")
    } else {
        format!("{}×", format::count(ratio.round() as u64))
    }
}

pub(super) fn ratio_text(row: &Row, reference: &str) -> String {
    let Some(standing) = &row.standing else {
        return String::new();
    };
    let ratio = format::times(standing.ratio.value);
    let interval = match standing.ratio.interval {
        None => "too few processes for an interval".to_owned(),
        Some(interval) => format!(
            "95% interval {} to {}",
            format::times(interval.low),
            format::times(interval.high)
        ),
    };
    format!("{ratio} of {reference}, {interval}")
}

pub(super) fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Faster => "good",
        Verdict::Slower => "bad",
        Verdict::Same | Verdict::CannotTell => "open",
    }
}

pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

pub(super) fn processes(design: &Design) -> String {
    let count = match design.processes_count {
        1 => "once".to_owned(),
        count => format!("{} times", format::count(count)),
    };
    match design.goes_on || design.precision_ratio.is_some() {
        true => format!("Each program was started {count} or more for each workload"),
        false => format!("Each program was started {count} for each workload"),
    }
}
