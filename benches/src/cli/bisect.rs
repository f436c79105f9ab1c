use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;

use super::arguments::{BisectArguments, Format};
use super::choice::refuse_unknown;
use super::list::{plain_table, trimmed};
use crate::bisect::{Certainty, Confirmation, Found, Search, Watched};
use crate::commits::{Commits, Recipe, short};
use crate::say::stdout;
use crate::{lane_program, lanes};

const UNSURE: u8 = 1;
const NO_STEP: u8 = 3;

pub(super) fn bisect(arguments: &BisectArguments) -> anyhow::Result<ExitCode> {
    let (workload, lane) = arguments.cell.clone();
    let all = lanes::all();
    let names: Vec<&str> = all.iter().map(|lane| lane.name).collect();
    let is_named = |name: &str, word: &str| name == word;
    refuse_unknown("lane", std::slice::from_ref(&lane), &names, is_named)?;
    let ids: Vec<&str> = workloads::catalogue::all().map(|one| one.id).collect();
    refuse_unknown("workload", std::slice::from_ref(&workload), &ids, is_named)?;
    let is_built = |entry: &lanes::LaneEntry| entry.foreign.is_none();
    ensure!(
        lanes::find(&lane).is_some_and(|entry| is_built(&entry)),
        "the lane `{lane}` is of another language: a commit has no other build of its runtime"
    );
    let own = Recipe::default();
    let recipe = Recipe {
        build: arguments.build.clone().unwrap_or(own.build),
        program: arguments.program.clone().unwrap_or(own.program),
    };
    let repository = arguments.repository.clone();
    let repository = repository.unwrap_or_else(lane_program::workspace);
    let commits = Commits::of(&repository, recipe)?;
    let now = jiff::Zoned::now()
        .strftime("bisect-%Y-%m-%dT%H-%M-%S")
        .to_string();
    let runs = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("results").join(now));
    let search = Search {
        commits: &commits,
        watched: Watched {
            workload,
            lane,
            budget_s: arguments.budget,
        },
        runs,
    };
    let found = search.between(&arguments.good, &arguments.bad)?;
    let mut out = stdout();
    match arguments.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?,
        Format::Table => print(&mut out, &found)?,
    }
    let outcome = found.confirmation.as_ref().map(|one| one.outcome);
    Ok(match (found.suspects.len(), outcome) {
        (0, _) => ExitCode::from(NO_STEP),
        (1, Some(Certainty::Confirmed)) => ExitCode::SUCCESS,
        _ => ExitCode::from(UNSURE),
    })
}

fn print(out: &mut impl Write, found: &Found) -> std::io::Result<()> {
    writeln!(out, "{}, against the good commit", found.cell)?;
    let mut table = plain_table();
    for one in &found.measured {
        let verdict = one
            .verdict
            .map(|verdict| format!("{verdict:?}").to_lowercase());
        table.add_row([
            short(&one.commit).to_owned(),
            one.by.clone().unwrap_or_default(),
            one.problem.clone().or(verdict).unwrap_or_default(),
            one.subject.clone(),
        ]);
    }
    writeln!(out, "{}", trimmed(&table))?;
    match found.suspects.as_slice() {
        [] => writeln!(out, "the two commits do not differ, as far as can be told"),
        [one] => {
            writeln!(
                out,
                "the first commit that differs: {} {}",
                one.commit, one.subject
            )?;
            let confirmations = found.confirmation.iter();
            confirmations
                .map(confirmation_text)
                .try_for_each(|line| writeln!(out, "{line}"))
        }
        several => {
            writeln!(out, "one of these; others were not to be judged:")?;
            several
                .iter()
                .try_for_each(|one| writeln!(out, "  {} {}", short(&one.commit), one.subject))
        }
    }
}

fn confirmation_text(found: &Confirmation) -> String {
    let parent = short(&found.parent);
    let by = found.measured.by.clone().unwrap_or_default();
    let interval = found.interval.as_ref();
    let interval = interval.map_or_else(String::new, |one| format!(" (95% interval {one})"));
    let again = format!("measured again, against its parent {parent}");
    match (found.outcome, &found.measured.problem) {
        (Certainty::Confirmed, _) => {
            format!("confirmed: {again}: {by}{interval}, as in the search")
        }
        (Certainty::Contradicted, _) => format!(
            "not confirmed: {again}: {by}{interval}, which is not the step of the search. That step was by chance, or the host changed; search again with a longer --budget"
        ),
        (Certainty::Open, Some(problem)) => format!("not confirmed: {problem}"),
        (Certainty::Open, None) => format!(
            "not confirmed: {again}: {by}{interval}, too noisy to say; search again with a longer --budget"
        ),
    }
}
