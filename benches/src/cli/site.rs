//! `threadbare site`: the pages of many machines.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use reports::html::site::{Prices, linked, render};
use reports::site::Collection;
use reports::store;

use super::arguments::SiteArguments;
use crate::say::{say, stdout};

pub(super) fn site(arguments: &SiteArguments) -> anyhow::Result<ExitCode> {
    let prices = arguments.prices.as_deref().map(prices).transpose()?;
    let collection = collection(&arguments.folder)?;
    refuse_within(&arguments.folder, &arguments.out)?;
    if let Some(prices) = &prices {
        warn_of_prices(&collection, prices);
    }
    let pages = render(&collection, prices.as_ref());
    for (path, text) in &pages {
        write(&arguments.out.join(path), text.as_bytes())?;
    }
    for (path, source) in linked(&collection) {
        let bytes =
            std::fs::read(source).with_context(|| format!("reading {}", source.display()))?;
        write(&arguments.out.join(path), &bytes)?;
    }
    #[cfg(feature = "parquet")]
    {
        let mut table = Vec::new();
        reports::parquet::write_figures(&collection, &mut table).context("writing Parquet")?;
        write(&arguments.out.join("figures.parquet"), &table)?;
    }
    writeln!(
        stdout(),
        "{} runs of {} machines, {} pages\n{}",
        collection.runs_count(),
        collection.machines.len(),
        pages.len(),
        arguments.out.join("index.html").display()
    )?;
    Ok(exit_code(&collection))
}

/// The exit status of a command that continues although a folder cannot be read.
pub(super) fn exit_code(collection: &Collection) -> ExitCode {
    /// The exit status of a command that has left something out.
    const NOT_ALL: u8 = 1;
    match collection.unread_count {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(NOT_ALL),
    }
}

/// Refuses a site in the folder of the runs: its copies would count as runs.
fn refuse_within(folder: &Path, out: &Path) -> anyhow::Result<()> {
    let there = std::path::absolute(out)?;
    let folder = folder.canonicalize()?;
    let mut parents = there
        .ancestors()
        .filter_map(|path| path.canonicalize().ok());
    let is_within = parents.next().is_some_and(|path| path.starts_with(&folder));
    anyhow::ensure!(
        !is_within,
        "{} is in the folder of the runs, where the site's copies of runs would be read the next time: choose another --out",
        out.display()
    );
    Ok(())
}

/// Warns if no price is of a machine that is there.
fn warn_of_prices(collection: &Collection, prices: &Prices) {
    let machines = collection.machines.iter();
    let types: BTreeSet<&str> = machines
        .map(|machine| machine.inputs.instance_type.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    if !types.iter().any(|name| prices.per_hour.contains_key(*name)) {
        let types: Vec<&str> = types.into_iter().collect();
        say(format!(
            "no price is of a machine that is here; instance types here: {}",
            if types.is_empty() {
                "none".to_owned()
            } else {
                types.join(", ")
            }
        ));
    }
}

/// The runs of a folder; prints which of them are in no figure.
pub(super) fn collection(folder: &Path) -> anyhow::Result<Collection> {
    let collection =
        Collection::read(folder).with_context(|| format!("reading {}", folder.display()))?;
    for one in &collection.apart {
        say(format!(
            "{}: {}: {}",
            one.standing,
            one.file,
            one.reasons.join("; ")
        ));
    }
    anyhow::ensure!(
        !collection.machines.is_empty(),
        "{} holds no run that is accepted; see `threadbare verify`",
        folder.display()
    );
    Ok(collection)
}

fn prices(path: &Path) -> anyhow::Result<Prices> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| {
        format!(
            "{} is no list of prices: it needs a date, a currency and a table [per_hour] of instance types",
            path.display()
        )
    })
}

fn write(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .with_context(|| format!("making the folder {}", folder.display()))?;
    store::replace(path, contents).with_context(|| format!("writing {}", path.display()))
}
