//! `threadbare show`: a run's figures as a table in the terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use comfy_table::CellAlignment;
use reports::analysis::{Case, LEAST_HEADROOM, PeerRow, Peers, Row, is_ours};
use reports::{Analysis, Run, published, taints};
use serde_json::json;

use super::arguments::{Format, ShowArguments};
use super::list::{plain_table, trimmed};
use super::report::run_file;
use crate::say::stdout;
use crate::study::Preset;

pub(super) fn show(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let run = reports::store::read(&run_file(&arguments.run))?;
    let chosen = |words: &[String], name: &str| {
        words.is_empty() || words.iter().any(|word| name.starts_with(word.as_str()))
    };
    let mut analysis = Analysis::of(&run);
    let decided = analysis.decided();
    let had_rows = !analysis.rows.is_empty();
    analysis.rows.retain(|row| {
        chosen(&arguments.workload, &row.workload) && chosen(&arguments.lane, &row.lane)
    });
    anyhow::ensure!(
        !had_rows || !analysis.rows.is_empty(),
        "the run has no such figures; its lanes are {}, its workloads are {}",
        listed(run.header.lanes.iter().map(|lane| &*lane.name)),
        listed(run.header.workloads.iter().map(|workload| &*workload.id)),
    );
    let mut out = stdout();
    match arguments.format {
        Format::Json => {
            let mut figures = serde_json::to_value(&analysis).context("writing the figures")?;
            figures["disturbances"] = json!(taints::by_kind(&run));
            figures["published"] = json!(published::judge(&run, &Analysis::of(&run)));
            figures["warnings"] = json!(run.warnings);
            figures["decided_count"] = json!(decided.0);
            figures["comparisons_count"] = json!(decided.1);
            writeln!(out, "{figures:#}")?;
        }
        Format::Table => {
            print(&run, &analysis, arguments.all, &mut out)?;
            print_decided(decided, &analysis.reference_lane, &mut out)?;
            for warning in &run.warnings {
                writeln!(out, "\nwarning: {warning}")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

pub(super) fn table(run: &Run, analysis: &Analysis, out: &mut impl Write) -> anyhow::Result<()> {
    print(run, analysis, false, out)
}

pub(super) fn print_decided(
    (decided, all): (usize, usize),
    reference: &str,
    out: &mut impl Write,
) -> std::io::Result<()> {
    match all {
        0 => Ok(()),
        _ => writeln!(
            out,
            "{decided} of {all} comparisons with {reference} are decided"
        ),
    }
}

fn further_tables(run: &Run, analysis: &Analysis, out: &mut impl Write) -> anyhow::Result<()> {
    if let Some(peers) = Peers::of(run, analysis) {
        let mut table = plain_table();
        let mut head = vec!["  ".to_owned()];
        head.extend(peers.lanes.iter().cloned());
        let ours = || peers.lanes.iter().filter(|lane| is_ours(lane));
        head.extend(ours().map(|lane| format!("{lane} ÷ best peer")));
        head.push("winner".to_owned());
        let columns = head.len();
        table.set_header(head);
        for row in &peers.rows {
            let workload = run.workload(&row.workload);
            let title = workload.map_or("", |workload| &workload.title);
            let title = if title.is_empty() {
                &row.workload
            } else {
                title
            };
            let mut name = format!("  {title}, {}", row.quantity.title);
            let case = varying_text(run, analysis, row);
            if !case.is_empty() {
                name.push_str(&format!(" ({case})"));
            }
            let mut cells = vec![name];
            for lane in &peers.lanes {
                let cell = row.cells.iter().find(|(cell, _)| cell.lane == *lane);
                cells.push(cell.map_or_else(|| "–".to_owned(), |(cell, _)| cell.value_text()));
            }
            cells.extend(ours().map(|lane| {
                let ours = row.ours.iter().find(|ours| ours.lane == *lane);
                ours.map_or_else(String::new, |ours| {
                    format!("{} {}", ours.ratio_text(), row.quantity.words(ours.verdict))
                })
            }));
            cells.push(match row.winners.as_slice() {
                [best, others @ ..] if others.len() > 2 => {
                    format!("{best} ≈ {} others", others.len())
                }
                best_lanes => best_lanes.join(" ≈ "),
            });
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(1).take(columns - 2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(
            out,
            "\nthreadbare and its peers; ratios are to the best peer, below 1× is better\n{}",
            trimmed(&table)
        )?;
    }
    let mut table = plain_table();
    for growth in &analysis.growth {
        let Some(exponent) = growth.exponent else {
            continue;
        };
        let (first, last) = (growth.points.first(), growth.points.last());
        let (Some(first), Some(last)) = (first, last) else {
            continue;
        };
        let interval = exponent.interval.map_or_else(String::new, |interval| {
            format!("{:.2} – {:.2}", interval.low, interval.high)
        });
        let text = |point: &(u64, reports::stats::Estimate)| {
            format!(
                "{} at {}",
                growth.quantity.unit.text(point.1.value),
                reports::format::count(point.0)
            )
        };
        table.add_row([
            format!("  {}", growth.workload),
            growth.lane.clone(),
            text(first),
            text(last),
            format!("n^{:.2}", exponent.value),
            interval,
            match growth.is_worse_than_linear() {
                true => "grows faster than the tasks".to_owned(),
                false => String::new(),
            },
        ]);
    }
    if table.row_count() > 0 {
        writeln!(
            out,
            "\nTotal cost against the number of tasks; n^1 is proportional\n{}",
            trimmed(&table)
        )?;
    }
    if run.header.design.preset.as_deref() == Some(Preset::Published.name()) {
        let mut table = plain_table();
        table.set_header(["  published figure", "theirs", "ours", "verdict"]);
        for one in published::judge(run, analysis) {
            table.add_row([
                format!("  {}", one.figure.what),
                one.figure.ratio_text(),
                one.ratio_text(),
                one.verdict_text(),
            ]);
        }
        writeln!(
            out,
            "\nPublished figures, by ratios; they agree within a factor of {}\n{}",
            published::AGREEMENT_FACTOR,
            trimmed(&table)
        )?;
    }
    Ok(())
}

fn varying_text(run: &Run, analysis: &Analysis, row: &PeerRow) -> String {
    let cases: Vec<&Case> = analysis
        .rows_of(&row.workload)
        .map(|other| &other.case)
        .collect();
    keep_parameters(&cases, true)(&row.case).text(run.workload(&row.workload))
}

/// Returns a function that keeps the parameters of a case that vary between `cases`; if `varying`
/// is false, those that do not vary. A case that lacks a parameter is no variation.
fn keep_parameters(cases: &[&Case], varying: bool) -> impl Fn(&Case) -> Case + use<> {
    let mut values: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for (name, value) in cases.iter().flat_map(|case| &case.0) {
        values.entry(name.clone()).or_default().insert(*value);
    }
    move |case| case.only(|name| values.get(name).is_some_and(|all| all.len() > 1) == varying)
}

fn headroom_text(headroom: f64) -> String {
    let times = reports::format::times(headroom);
    match headroom < LEAST_HEADROOM {
        true => format!("headroom {times}: the load generator was the limit"),
        false => format!("headroom {times}"),
    }
}

fn print(run: &Run, analysis: &Analysis, all: bool, out: &mut impl Write) -> anyhow::Result<()> {
    for workload in &run.header.workloads {
        let rows: Vec<&Row> = analysis.rows_of(&workload.id).collect();
        let Some(first) = rows.first() else { continue };
        writeln!(out, "\n{}  {}", workload.id, workload.question)?;
        let (first, title) = (first.quantity.id.clone(), first.quantity.title.clone());
        let rows: Vec<&Row> = rows
            .into_iter()
            .filter(|row| all || row.quantity.id == first)
            .collect();
        let cases: Vec<&Case> = rows.iter().map(|row| &row.case).collect();
        let many_cases = cases.iter().any(|case| *case != cases[0]);
        let (varying, fixed) = (
            keep_parameters(&cases, true),
            keep_parameters(&cases, false),
        );
        let many_quantities = rows.iter().any(|row| row.quantity != rows[0].quantity);
        let subtitle = [
            (!many_quantities).then_some(title),
            cases
                .iter()
                .map(|case| fixed(case).text(Some(workload)))
                .max_by_key(String::len),
        ];
        let subtitle: Vec<String> = subtitle
            .into_iter()
            .flatten()
            .filter(|text| !text.is_empty())
            .collect();
        if !subtitle.is_empty() {
            writeln!(out, "  {}", subtitle.join("; "))?;
        }
        let is_loaded = rows.iter().any(|row| row.headroom_ratio.is_some());
        let mut table = plain_table();
        for row in &rows {
            let mut cells = vec![format!("  {}", row.lane)];
            if many_cases {
                cells.push(varying(&row.case).text(Some(workload)));
            }
            if many_quantities {
                cells.push(row.quantity.title.clone());
            }
            let figures = cells.len();
            cells.extend([row.value_text(), row.interval_text(), row.ratio_text()]);
            cells.push(row.verdict_text(&analysis.reference_lane));
            if is_loaded {
                let headroom = row.headroom_ratio;
                cells.push(headroom.map_or_else(String::new, headroom_text));
            }
            table.add_row(cells);
            for column in table.column_iter_mut().skip(figures).take(3) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(out, "{}", trimmed(&table))?;
    }
    further_tables(run, analysis, out)?;
    let reference = &analysis.reference_lane;
    write!(
        out,
        "\nEach line: the figure, its 95% interval, its ratio to {reference}, the verdict.\nA ratio is made of pairs of processes: it is not exactly the quotient of the figures."
    )?;
    if let Some(typical) = analysis.noise.typical() {
        let (told, all) = analysis.noise.called_different();
        write!(
            out,
            "\nRepeats of one lane differ by {}, typically; {told} of {all} such pairs are called different (should be 0).",
            reports::format::percent(typical)
        )?;
    }
    writeln!(out)?;
    for one in taints::by_kind(run) {
        let when = one.when();
        writeln!(out, "{}, {when}; the worst: {}", one.title, one.message)?;
    }
    Ok(())
}
