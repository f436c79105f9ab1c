//! `threadbare site`: the pages of many machines.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use reports::html::site::{Prices, render};
use reports::site::Collection;
use reports::store;

use super::arguments::SiteArguments;
use crate::say::{say, stdout};

pub(super) fn site(arguments: &SiteArguments) -> anyhow::Result<ExitCode> {
    let prices = arguments.prices.as_deref().map(prices).transpose()?;
    let collection = collection(&arguments.folder)?;
    let pages = render(&collection, prices.as_ref());
    for (path, text) in &pages {
        write(&arguments.out.join(path), text.as_bytes())?;
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
    Ok(ExitCode::SUCCESS)
}

/// The runs of a folder; says which of them are in no figure.
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
