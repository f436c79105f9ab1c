//! `threadbare gate`: has a change made anything slower?

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use comfy_table::CellAlignment;
use reports::change::ChangeRow;
use reports::gate::{Gate, Outcome, gate as decide};
use reports::stats::verdict::Verdict;

use super::arguments::{Format, GateArguments};
use super::list::{plain_table, trimmed};
use super::report::run_file;
use crate::say::stdout;

/// The exit status for a wrong use or an error of reading or writing; smaller numbers are verdicts.
pub(super) const FAILED: u8 = 4;

const ONE_BUILD: &str = "this run has only one build: name the new run too, or measure both builds in one run with --base";

pub(super) fn gate(arguments: &GateArguments) -> anyhow::Result<ExitCode> {
    let base = reports::store::read(&run_file(&arguments.base))?;
    let [base, new] = match &arguments.new {
        Some(new) => [base, reports::store::read(&run_file(new))?],
        None => base.sides().context(ONE_BUILD)?,
    };
    let answer = decide(&base, &new);
    let mut out = stdout();
    match arguments.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?,
        Format::Table => print(&mut out, &answer)?,
    }
    Ok(ExitCode::from(answer.outcome.exit_code()))
}

fn print(out: &mut impl Write, gate: &Gate) -> std::io::Result<()> {
    for reason in &gate.reasons {
        writeln!(out, "{reason}")?;
    }
    let is_change = |row: &&ChangeRow| matches!(row.verdict, Verdict::Faster | Verdict::Slower);
    let mut table = plain_table();
    for row in gate.rows.iter().filter(is_change) {
        table.add_row([
            row.workload.clone(),
            row.case_text.clone(),
            row.lane.clone(),
            row.quantity.title.clone(),
            row.by(),
            row.quantity.words(row.verdict).to_owned(),
        ]);
    }
    if let Some(column) = table.column_mut(4) {
        column.set_cell_alignment(CellAlignment::Right);
        writeln!(out, "{}", trimmed(&table))?;
    }
    let words = match gate.outcome {
        Outcome::Pass => "pass: nothing is slower, and nothing newly fails",
        Outcome::Regression => "regression: something is slower or newly fails",
        Outcome::Inconclusive => "inconclusive: too noisy to say",
        Outcome::Invalid => "invalid: these two runs cannot be compared",
    };
    writeln!(
        out,
        "{words} ({} cells in both runs: {} unchanged, {} better, {} worse, {} too noisy to say)",
        gate.rows.len(),
        gate.count(Verdict::Same),
        gate.count(Verdict::Faster),
        gate.count(Verdict::Slower),
        gate.count(Verdict::CannotTell)
    )
}
