//! `threadbare site`: the pages of many machines.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use reports::format::counted;
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
    let earlier_files = earlier_files(&arguments.out)?;
    let pages = render(&collection, prices.as_ref());
    let mut names: BTreeSet<PathBuf> = pages.iter().map(|(path, _)| path.into()).collect();
    names.extend(linked(&collection).map(|(path, _)| path));
    if cfg!(feature = "parquet") {
        names.insert("figures.parquet".into());
    }
    // The list is written before the pages, so it names all files that are there even if writing
    // the pages fails.
    write_list(&arguments.out, earlier_files.union(&names))?;
    for (path, text) in &pages {
        write(&arguments.out.join(path), text.as_bytes())?;
    }
    for (path, source) in linked(&collection) {
        let bytes = fs::read(source).with_context(|| format!("reading {}", source.display()))?;
        write(&arguments.out.join(path), &bytes)?;
    }
    #[cfg(feature = "parquet")]
    {
        let mut table = Vec::new();
        reports::parquet::write_figures(&collection, &mut table).context("writing Parquet")?;
        write(&arguments.out.join("figures.parquet"), &table)?;
    }
    remove(&arguments.out, earlier_files.difference(&names))?;
    write_list(&arguments.out, names.iter())?;
    writeln!(
        stdout(),
        "{} of {}, {} pages\n{}",
        counted(collection.runs_count(), "run"),
        counted(collection.machines.len(), "machine"),
        pages.len(),
        arguments.out.join("index.html").display()
    )?;
    Ok(exit_code(&collection))
}

pub(super) fn exit_code(collection: &Collection) -> ExitCode {
    const NOT_ALL: u8 = 1;
    match collection.unread_count {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(NOT_ALL),
    }
}

/// The list of a site's files, one path on each line.
const LIST: &str = ".threadbare-site";

/// The files of the earlier site in `out`. Refuses a folder that holds something else.
fn earlier_files(out: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let reading = || format!("reading {}", out.display());
    match fs::read_to_string(out.join(LIST)) {
        Ok(text) => {
            let is_in_folder = |path: &PathBuf| {
                let mut parts = path.components();
                parts.all(|part| matches!(part, Component::Normal(_)))
            };
            return Ok(text
                .lines()
                .map(PathBuf::from)
                .filter(is_in_folder)
                .collect());
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(reading),
    }
    let entries = match fs::read_dir(out) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.with_context(reading)?,
    };
    for entry in entries {
        // Hidden entries may stay, such as the .git of a branch that a host serves.
        let is_hidden = entry.with_context(reading)?.file_name().as_encoded_bytes()[0] == b'.';
        anyhow::ensure!(
            is_hidden,
            "{} is not empty, and no site that this program has written: empty it, or choose another --out",
            out.display()
        );
    }
    Ok(BTreeSet::new())
}

fn write_list<'a>(out: &Path, files: impl Iterator<Item = &'a PathBuf>) -> anyhow::Result<()> {
    let lines = files.map(|file| format!("{}\n", file.display()));
    write(&out.join(LIST), lines.collect::<String>().as_bytes())
}

fn remove<'a>(out: &Path, files: impl Iterator<Item = &'a PathBuf>) -> anyhow::Result<()> {
    for file in files {
        let path = out.join(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.with_context(|| format!("removing {}", path.display()))?,
        }
        // This removes the folder only if it is empty.
        if let Some(folder) = file.parent().filter(|one| !one.as_os_str().is_empty()) {
            let _ = fs::remove_dir(out.join(folder));
        }
    }
    Ok(())
}

/// Refuses a site in the folder of the runs: its copies would count as runs.
fn refuse_within(folder: &Path, out: &Path) -> anyhow::Result<()> {
    let absolute_out = std::path::absolute(out)?;
    let folder = folder.canonicalize()?;
    let mut parents = absolute_out
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
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| {
        format!(
            "{} is no list of prices: it needs a date, a currency and a table [per_hour] of instance types",
            path.display()
        )
    })
}

fn write(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .with_context(|| format!("making the folder {}", folder.display()))?;
    store::replace(path, contents).with_context(|| format!("writing {}", path.display()))
}
