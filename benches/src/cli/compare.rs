//! `threadbare compare`: any number of runs side by side.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use comfy_table::CellAlignment;
use reports::Run;
use reports::compare::{Comparison, compare as set_side_by_side};

use super::arguments::{CompareArguments, Format};
use super::list::{plain_table, trimmed};
use super::output;
use super::report::run_file;
use crate::say::{say, stdout};

pub(super) fn compare(arguments: &CompareArguments) -> anyhow::Result<ExitCode> {
    let mut runs = Vec::new();
    for path in &arguments.runs {
        let run = reports::store::read(&run_file(path))?;
        runs.push((label(path), run));
    }
    number_equal_labels(&mut runs);
    let comparison = set_side_by_side(&runs);
    // The page comes first: if it goes to stdout, nothing else may.
    let page = |target: &PathBuf| {
        let page = reports::html::render_comparison(&comparison);
        output::write(target, page.as_bytes())
    };
    let written = match &arguments.out {
        Some(target) => match page(target)? {
            None => return Ok(ExitCode::SUCCESS),
            written => written,
        },
        None => None,
    };
    let mut out = stdout();
    match arguments.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&comparison)?)?,
        Format::Table => print(&mut out, &comparison)?,
    }
    drop(out);
    if let Some(written) = written {
        // On stderr, because a program reads stdout.
        match arguments.format {
            Format::Json => say(written.display()),
            Format::Table => writeln!(stdout(), "\n{}", written.display())?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn label(path: &Path) -> String {
    let named = match path.file_name() {
        Some(name) if name == super::run::RUN_FILE => path.parent().and_then(Path::file_name),
        other => other,
    };
    named.map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

fn number_equal_labels(runs: &mut [(String, Run)]) {
    let mut seen = BTreeSet::new();
    for (label, _) in runs {
        let base = label.clone();
        let mut number = 2;
        while !seen.insert(label.clone()) {
            *label = format!("{base} ({number})");
            number += 1;
        }
    }
}

fn print(out: &mut impl Write, comparison: &Comparison) -> std::io::Result<()> {
    for run in &comparison.runs {
        writeln!(out, "{}  {}", run.label, run.machine_key)?;
        for warning in &run.warnings {
            writeln!(out, "  {warning}")?;
        }
    }
    let header = |first: &[&str]| {
        let labels = comparison.runs.iter().map(|run| run.label.clone());
        first
            .iter()
            .map(|&name| name.to_owned())
            .chain(labels)
            .collect::<Vec<_>>()
    };
    if !comparison.differences.is_empty() {
        let mut table = plain_table();
        table.set_header(header(&["what differs"]));
        for difference in &comparison.differences {
            let values = difference.values.iter().map(|value| match value {
                Some(value) => value.clone(),
                None => "unknown".to_owned(),
            });
            table.add_row([difference.name.clone()].into_iter().chain(values));
        }
        writeln!(out, "\n{}", trimmed(&table))?;
    }
    let mut table = plain_table();
    table.set_header(header(&["workload", "case", "figure", "lane"]));
    for row in &comparison.rows {
        let first = [
            row.workload.clone(),
            row.case_text.clone(),
            row.quantity.title.clone(),
            row.lane.clone(),
        ];
        let cells = row.cells.iter().map(|cell| match cell {
            Some(cell) => format!(
                "{}, {}: {}",
                cell.value_text,
                reports::format::times(cell.ratio),
                row.quantity.words(cell.verdict)
            ),
            None => "missing".to_owned(),
        });
        table.add_row(first.into_iter().chain(cells));
    }
    for column in table.column_iter_mut().skip(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(out, "\n{}", trimmed(&table))?;
    writeln!(
        out,
        "\nEach cell: the figure, its ratio to {} on the same machine, and the verdict.",
        comparison.reference_lane
    )?;
    if comparison.machines_count() < comparison.runs.len() {
        writeln!(
            out,
            "To see what changed between two runs on one machine: threadbare gate OLD NEW."
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_called_after_its_folder() {
        assert_eq!(label(Path::new("results/before/run.jsonl")), "before");
        assert_eq!(label(Path::new("results/before/")), "before");
        assert_eq!(label(Path::new("shared.jsonl")), "shared.jsonl");
    }

    #[test]
    fn labels_that_are_the_same_get_numbers() {
        let mut runs = ["a", "b", "a", "a"].map(|name| (name.to_owned(), Run::default()));
        number_equal_labels(&mut runs);
        assert_eq!(runs.map(|(label, _)| label), ["a", "b", "a (2)", "a (3)"]);
    }
}
