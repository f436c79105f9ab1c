//! `threadbare history`: the kept runs of one machine over time.

use std::io::Write;
use std::process::ExitCode;

use comfy_table::CellAlignment;
use reports::history::{FEWEST_RUNS, History, histories};
use reports::html::{change_text, render_history};

use super::arguments::{Format, HistoryArguments};
use super::choice::{begins, refuse_unknown};
use super::list::{plain_table, trimmed};
use super::output;
use super::site::{collection, exit_code};
use crate::say::{say, stdout};

pub(super) fn history(arguments: &HistoryArguments) -> anyhow::Result<ExitCode> {
    let mut collection = collection(&arguments.folder)?;
    let lanes: Vec<&str> = collection.lanes.iter().map(String::as_str).collect();
    refuse_unknown("lane", &arguments.lane, &lanes, begins)?;
    let places = collection.places.iter();
    let mut workloads: Vec<&str> = places.map(|one| one.place.workload.as_str()).collect();
    workloads.dedup();
    refuse_unknown("workload", &arguments.workload, &workloads, begins)?;
    let is_chosen = |named: &[String], name: &str| {
        named.is_empty() || named.iter().any(|one| begins(name, one))
    };
    collection
        .lanes
        .retain(|lane| is_chosen(&arguments.lane, lane));
    collection
        .places
        .retain(|one| is_chosen(&arguments.workload, &one.place.workload));
    let found = histories(&collection);
    let written = match &arguments.out {
        Some(target) => match output::write(target, render_history(&found).as_bytes())? {
            None => return Ok(exit_code(&collection)),
            written => written,
        },
        None => None,
    };
    match arguments.format {
        Format::Json => writeln!(stdout(), "{}", serde_json::to_string_pretty(&found)?)?,
        Format::Table => found.iter().try_for_each(|one| print(&mut stdout(), one))?,
    }
    if let Some(written) = written {
        match arguments.format {
            Format::Json => say(written.display()),
            Format::Table => writeln!(stdout(), "\n{}", written.display())?,
        }
    }
    Ok(exit_code(&collection))
}

fn print(out: &mut impl Write, history: &History<'_>) -> std::io::Result<()> {
    writeln!(
        out,
        "{}  {}, run on {} CPUs",
        reports::machine::cpu(&history.machine.inputs),
        history.key,
        history.cpus
    )?;
    let mut table = plain_table();
    table.set_header(["run", "started", "what changed since the run before"]);
    for (place, moment) in history.moments.iter().enumerate() {
        let changes = moment.changes.iter();
        let changes: Vec<String> = changes
            .map(|change| format!("{}: {} → {}", change.name, change.before, change.after))
            .collect();
        table.add_row([
            (place + 1).to_string(),
            moment
                .run
                .started
                .get(..16)
                .unwrap_or_default()
                .replace('T', " "),
            changes.join("; "),
        ]);
    }
    writeln!(out, "{}", trimmed(&table))?;
    let steps = history.steps();
    if steps.is_empty() {
        let runs = history.moments.len();
        return match runs < FEWEST_RUNS {
            true => writeln!(
                out,
                "\nno step is looked for in fewer than {FEWEST_RUNS} runs; there {} {runs}",
                if runs == 1 { "is" } else { "are" }
            ),
            false => writeln!(out, "\nno figure steps"),
        };
    }
    let mut table = plain_table();
    table.set_header([
        "from run", "workload", "case", "figure", "lane", "before", "after", "change",
    ]);
    for (series, step) in steps {
        let unit = series.points[0].1.unit;
        table.add_row([
            (step.moment + 1).to_string(),
            series.place.place.workload.clone(),
            series.place.case_text.clone(),
            series.place.quantity.clone(),
            series.lane.to_owned(),
            unit.text(step.before),
            unit.text(step.after),
            change_text(&step),
        ]);
    }
    for column in table.column_iter_mut().skip(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(out, "\n{}", trimmed(&table))
}
