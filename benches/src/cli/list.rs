//! `threadbare list`: which workloads each lane can run, and why not the others.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use reports::schema::FailureKind;
use serde_json::json;
use workloads::catalogue::Workload;

use super::arguments::{Format, ListArguments};
use super::choice;
use crate::cpus::Cpus;
use crate::lane_process::{Limits, Stop};
use crate::lanes::{self, LaneEntry};
use crate::say::stdout;
use crate::study::{Known, ProbedLane, StudyLane};

pub(super) fn list(arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    let cpus = Cpus::allowed()?;
    let workloads = choice::workloads(&arguments.workload)?;
    let lanes = match arguments.lane.is_empty() {
        true => lanes::all(),
        false => choice::lanes(&arguments.lane)?,
    };
    let toolbox = super::toolbox()?;
    let probed: Vec<ProbedLane> = lanes
        .iter()
        .map(|lane| {
            let lane = StudyLane::new(lane, &toolbox);
            ProbedLane::probe(&lane, &cpus, Limits::default(), &Stop::default())
        })
        .collect();
    let mut out = stdout();
    match arguments.format {
        Format::Table => print(&mut out, &lanes, &probed, &workloads)?,
        Format::Json => writeln!(out, "{:#}", as_json(&lanes, &probed, &workloads))?,
    }
    Ok(ExitCode::SUCCESS)
}

struct Tool {
    program: &'static str,
    purpose: &'static str,
    install: &'static str,
}

impl Tool {
    fn is_there(&self) -> bool {
        lanes::on_path(Path::new(self.program)).is_some()
    }
}

const TOOLS: [Tool; 3] = [
    Tool {
        program: "redis-server",
        purpose: "the backend of service.http by --set backend=1",
        install: "apt-get install redis-server",
    },
    Tool {
        program: "psql",
        purpose: "PostgreSQL, the backend of service.http by --service ADDRESS",
        install: "apt-get install postgresql",
    },
    Tool {
        program: "wrk",
        purpose: "checks the load generator of service.http in the tests",
        install: "apt-get install wrk",
    },
];

fn as_json(
    lanes: &[LaneEntry],
    probed: &[ProbedLane],
    workloads: &[&'static Workload],
) -> serde_json::Value {
    let cell = |lane: &ProbedLane, workload: &Workload| match lane.refusal(workload.id) {
        None => json!({ "runs": true }),
        Some((kind, why)) => json!({ "runs": false, "kind": kind, "why": why }),
    };
    let lanes = lanes.iter().zip(probed).map(|(entry, lane)| {
        let cells: BTreeMap<&str, _> = workloads
            .iter()
            .map(|workload| (workload.id, cell(lane, workload)))
            .collect();
        let (language, runtime, missing) = match &lane.known {
            Known::Runs(_, hello) => (Some(&hello.language), Some(&hello.runtime), None),
            Known::Absent(_, why) => (None, None, Some(why)),
        };
        json!({
            "name": entry.name,
            "noun": entry.noun,
            "variant_of": entry.variant_of,
            "remark": entry.remark,
            "language": language,
            "runtime": runtime,
            "missing": missing,
            "workloads": cells,
        })
    });
    let described = workloads.iter().map(|workload| {
        json!({ "id": workload.id, "title": workload.title, "question": workload.question })
    });
    let tools = TOOLS.iter().map(|tool| {
        json!({ "program": tool.program, "purpose": tool.purpose, "found": tool.is_there(), "install": tool.install })
    });
    json!({
        "lanes": lanes.collect::<Vec<_>>(),
        "workloads": described.collect::<Vec<_>>(),
        "tools": tools.collect::<Vec<_>>(),
    })
}

fn print(
    out: &mut impl Write,
    lanes: &[LaneEntry],
    probed: &[ProbedLane],
    workloads: &[&'static Workload],
) -> std::io::Result<()> {
    let mut legend = plain_table();
    legend.set_header(["", "lane", "what it is", "version"]);
    for (number, (entry, lane)) in (1..).zip(lanes.iter().zip(probed)) {
        let version = match &lane.known {
            Known::Runs(_, hello) if hello.runtime == hello.language => hello.runtime.clone(),
            Known::Runs(_, hello) => format!("{}, {}", hello.language, hello.runtime),
            Known::Absent(FailureKind::NotInstalled, why) => format!("missing: {why}"),
            Known::Absent(_, why) => format!("broken: {why}"),
        };
        legend.add_row([
            number.to_string(),
            entry.name.into(),
            entry.remark.into(),
            version,
        ]);
    }
    writeln!(out, "{}\n", trimmed(&legend))?;

    let mut notes = Notes::default();
    let mut matrix = plain_table();
    let numbers = (1..=probed.len()).map(|number| number.to_string());
    matrix.set_header(["workload".to_owned()].into_iter().chain(numbers));
    for workload in workloads {
        let cells = probed
            .iter()
            .map(|lane| match (&lane.known, lane.refusal(workload.id)) {
                (_, None) => "✓".to_owned(),
                (Known::Absent(..), _) => "·".to_owned(),
                (_, Some((_, why))) => notes.letter(why),
            });
        matrix.add_row([workload.id.to_owned()].into_iter().chain(cells));
    }
    for column in matrix.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Center);
        column.set_padding((0, 1));
    }
    writeln!(out, "{}\n", trimmed(&matrix))?;
    writeln!(out, "✓ runs   · lane missing   letter: why not")?;
    for (letter, why) in notes.lines() {
        writeln!(out, "  {letter}  {why}")?;
    }
    writeln!(out)?;
    for tool in TOOLS {
        let found = if tool.is_there() {
            "found"
        } else {
            tool.install
        };
        writeln!(out, "{}: {}: {found}", tool.program, tool.purpose)?;
    }
    Ok(())
}

#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn letter(&mut self, why: String) -> String {
        let place = self
            .0
            .iter()
            .position(|known| *known == why)
            .unwrap_or_else(|| {
                self.0.push(why);
                self.0.len() - 1
            });
        letter(place)
    }

    fn lines(&self) -> impl Iterator<Item = (String, &String)> {
        self.0
            .iter()
            .enumerate()
            .map(|(place, why)| (letter(place), why))
    }
}

fn letter(place: usize) -> String {
    let last = char::from(b'a' + u8::try_from(place % 26).unwrap_or(0));
    match place / 26 {
        0 => last.to_string(),
        more => format!("{}{last}", letter(more - 1)),
    }
}

/// The fewest columns of a readable table, and the usual columns.
const NARROWEST: u16 = 20;
const USUAL: u16 = 80;

pub(super) fn plain_table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    if table.width().is_some_and(|columns| columns < NARROWEST) {
        // This terminal does not report its size.
        table.set_width(USUAL);
    }
    if !table.is_tty() {
        match std::env::var("COLUMNS").map(|columns| columns.parse()) {
            Ok(Ok(columns)) if columns >= NARROWEST => table.set_width(columns),
            // Stdout is no terminal: a program may read it, so the text is not wrapped.
            _ => table.set_content_arrangement(ContentArrangement::Disabled),
        };
    }
    table
}

pub(super) fn trimmed(table: &Table) -> String {
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_go_on_after_z() {
        let letters = [0, 25, 26, 27, 52].map(letter);
        assert_eq!(letters, ["a", "z", "aa", "ab", "ba"]);
    }

    #[test]
    fn one_reason_has_one_letter() {
        let mut notes = Notes::default();
        let letters = ["x", "y", "x"].map(|why| notes.letter(why.to_owned()));
        assert_eq!(letters, ["a", "b", "a"]);
        assert_eq!(notes.lines().count(), 2);
    }
}
