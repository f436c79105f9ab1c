//! `threadbare show`: a run's figures as a table in the terminal.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use comfy_table::CellAlignment;
use reports::analysis::Row;
use reports::{Analysis, Run};

use super::arguments::{Format, ShowArguments};
use super::list::{plain_table, trimmed};
use super::report::run_file;
use crate::doctor::resolutions;

pub(super) fn show(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let run = reports::store::read(&run_file(&arguments.run))?;
    let chosen = |words: &[String], name: &str| {
        words.is_empty() || words.iter().any(|word| name.starts_with(word.as_str()))
    };
    let mut analysis = Analysis::of(&run);
    analysis.rows.retain(|row| {
        chosen(&arguments.workload, &row.workload) && chosen(&arguments.lane, &row.lane)
    });
    let mut out = std::io::stdout().lock();
    match arguments.format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&analysis).context("writing the figures")?;
            writeln!(out, "{text}")?;
        }
        Format::Table => {
            print(&run, &analysis, arguments.all, &mut out)?;
            for warning in &run.warnings {
                writeln!(out, "\nwarning: {warning}")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The run's figures, the first of each workload.
pub(super) fn table(run: &Run, out: &mut impl Write) -> anyhow::Result<()> {
    print(run, &Analysis::of(run), false, out)
}

fn print(run: &Run, analysis: &Analysis, all: bool, out: &mut impl Write) -> anyhow::Result<()> {
    for workload in &run.header.workloads {
        let rows: Vec<&Row> = analysis.rows_of(&workload.id).collect();
        let Some(first) = rows.first() else { continue };
        writeln!(out, "\n{}  {}", workload.id, workload.question)?;
        let first = first.quantity.id.clone();
        let rows: Vec<&Row> = rows
            .into_iter()
            .filter(|row| all || row.quantity.id == first)
            .collect();
        let many_cases = rows.iter().any(|row| row.case != rows[0].case);
        let many_quantities = rows.iter().any(|row| row.quantity != rows[0].quantity);
        let mut table = plain_table();
        for row in &rows {
            let mut cells = vec![format!("  {}", row.lane)];
            if many_cases {
                cells.push(row.case.to_string());
            }
            if many_quantities {
                cells.push(row.quantity.title.clone());
            }
            let figures = cells.len();
            cells.extend([row.value_text(), row.interval_text(), row.ratio_text()]);
            cells.push(row.verdict_text(&analysis.reference_lane));
            table.add_row(cells);
            for column in table.column_iter_mut().skip(figures).take(3) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(out, "{}", trimmed(&table))?;
    }
    let mut noise = resolutions(analysis);
    noise.sort_by(|a, b| a.difference_ratio.total_cmp(&b.difference_ratio));
    if let (Some(middle), Some(most)) = (noise.get(noise.len() / 2), noise.last()) {
        writeln!(
            out,
            "\nRatios are against {}. Noise: the same lane against itself differs by {:.1}% at the median, by {:.1}% at most ({}).",
            analysis.reference_lane,
            middle.difference_ratio * 100.0,
            most.difference_ratio * 100.0,
            most.workload
        )?;
    }
    Ok(())
}
