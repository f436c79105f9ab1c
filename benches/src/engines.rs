//! Lanes of several versions in one run: `go@1.26`, `threadbare@v0.1.0`.
//!
//! A table defines the versions. Versions in one run, in the same blocks, are
//! compared better than in runs of different days.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::commits::{Commits, Recipe};
use crate::lane_program;
use crate::lanes::{self, LaneEntry, Toolbox, versioned};
use crate::study::StudyLane;

/// The table that is read by default.
const TABLE: &str = "engines.toml";

/// The versions: by language or lane, and by the version's name, a toolchain's
/// program, a lane program, or a commit.
#[derive(Debug, Default)]
pub(crate) struct Engines {
    table: BTreeMap<String, BTreeMap<String, String>>,
    /// Paths in the table are below it.
    folder: PathBuf,
}

impl Engines {
    /// Reads the table: `named`, or `engines.toml` in the current folder, if it is there.
    pub(crate) fn read(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = named.unwrap_or(Path::new(TABLE));
        if named.is_none() && !path.is_file() {
            return Ok(Self::default());
        }
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let table = toml::from_str(&text).with_context(|| {
            format!(
                "{} is no table of engines: see `threadbare run --help`",
                path.display()
            )
        })?;
        let folder = std::path::absolute(path)?.parent().map(Path::to_owned);
        Ok(Self {
            table,
            folder: folder.unwrap_or_default(),
        })
    }

    /// The lane of this version, with the command that starts it. May build a commit.
    pub(crate) fn lane(&self, name: &str, toolbox: &Toolbox) -> anyhow::Result<StudyLane> {
        let (plain, version) = versioned(name).with_context(|| format!("{name} has no version"))?;
        let entry = lanes::find(plain).with_context(|| format!("there is no lane `{plain}`"))?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        ensure!(
            !version.is_empty() && version.chars().all(is_plain),
            "the version of {name} may have letters, digits, dots, hyphens and underscores"
        );
        let language = entry.foreign.map(|language| language.name);
        let section = self.table.get(language.unwrap_or(plain));
        let meant = section
            .and_then(|section| section.get(version))
            .map(String::as_str);
        let command = match (language, meant) {
            (Some(language), None) => {
                bail!(
                    "no table of engines says which program {language} {version} is: add a line \"{version}\" = \"PATH\" to its part [{language}]"
                )
            }
            (Some(_), Some(toolchain)) => {
                toolbox.command_of_toolchain(&entry, &self.folder.join(toolchain), version)
            }
            (None, meant) => {
                let program = self.program(&entry, meant.unwrap_or(version))?;
                toolbox.command_of_base(&entry, &program)
            }
        };
        Ok(StudyLane {
            name: name.to_owned(),
            noun: format!("{} ({version})", entry.noun),
            variant_of: Some(entry.variant_of.unwrap_or(entry.name).to_owned()),
            remark: format!(
                "version {version}: {}",
                meant.unwrap_or("the commit of that name")
            ),
            kernel_tasks: entry.kernel_tasks,
            command,
        })
    }

    /// A lane program: a file, or the build of a commit of these sources.
    fn program(&self, entry: &LaneEntry, meant: &str) -> anyhow::Result<PathBuf> {
        let file = self.folder.join(meant);
        if file.is_file() {
            return Ok(file);
        }
        let what = || {
            format!(
                "the lane {}: {meant} is no file and no commit that builds",
                entry.name
            )
        };
        let commits = Commits::of(&lane_program::workspace(), Recipe::default());
        let commits = commits.with_context(what)?;
        let commit = commits.find(meant).with_context(what)?;
        commits.program(&commit).with_context(what)
    }
}
