//! `threadbare collect`: the runs that came back from a fleet, and those that did not.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use reports::collect::{Arrived, State, collect as look};

use super::arguments::{CollectArguments, Format};
use super::list::{plain_table, trimmed};
use super::{keep, shell};
use crate::say::{say, stdout};

const NOT_ALL: u8 = 1;

pub(super) fn collect(arguments: &CollectArguments) -> anyhow::Result<ExitCode> {
    let folder = &arguments.folder;
    let found = look(folder).with_context(|| format!("reading {}", folder.display()))?;
    anyhow::ensure!(
        !found.is_empty(),
        "{} holds no run and expects none",
        folder.display()
    );
    let mut out = stdout();
    match arguments.format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?,
        Format::Table => print(&mut out, &found)?,
    }
    let mut is_all = found.iter().all(|one| one.state == State::Whole);
    if let Some(kept) = &arguments.keep {
        let whole = found.iter().filter(|one| one.state == State::Whole);
        for file in whole.filter_map(|one| one.file.as_deref()) {
            if let Err(error) = keep::one(file, kept) {
                say(format!("{error:#}"));
                is_all = false;
            }
        }
    }
    if arguments.format == Format::Table {
        writeln!(
            out,
            "\nto see them side by side: threadbare site {} --out site",
            shell::word(folder)
        )?;
    }
    Ok(if is_all {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_ALL)
    })
}

fn print(out: &mut impl Write, found: &[Arrived]) -> std::io::Result<()> {
    let mut table = plain_table();
    table.set_header([
        "run",
        "kind",
        "placed by",
        "node",
        "machine",
        "state",
        "why",
    ]);
    for one in found {
        table.add_row([
            one.name.clone(),
            one.kind.clone(),
            one.placed_by.clone(),
            one.node.clone(),
            one.machine_key.clone(),
            one.state.words().to_owned(),
            one.reasons.join("; "),
        ]);
    }
    writeln!(out, "{}", trimmed(&table))?;
    let mut counts: BTreeMap<State, usize> = BTreeMap::new();
    for one in found {
        *counts.entry(one.state).or_default() += 1;
    }
    let counts = counts
        .iter()
        .map(|(state, count)| format!("{count} {}", state.words()));
    writeln!(out, "\n{}", counts.collect::<Vec<_>>().join(", "))
}
