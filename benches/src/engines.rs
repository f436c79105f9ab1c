//! Lanes of several versions in one run: `go@1.26`, `tokio@1.47`, `threadbare@HEAD~20`.
//!
//! | the version is | what is measured |
//! |---|---|
//! | in the table, under a language | the lane with that toolchain |
//! | in the table, under a lane in Rust | the lane program, release or commit that the table names |
//! | the release of a library, such as 1.47 | these sources with that release |
//! | a commit | the lane program of that commit, whose hash is in the lane's name |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::commits::{Commits, Recipe, short};
use crate::lane_program;
use crate::lanes::{self, LaneEntry, Toolbox, on_path, versioned};
use crate::study::StudyLane;

const TABLE: &str = "engines.toml";

/// For each language or lane, the versions by name: a toolchain's program, a lane program, a
/// release or a commit.
#[derive(Debug, Default)]
pub(crate) struct Engines {
    table: BTreeMap<String, BTreeMap<String, String>>,
    /// Relative paths in the table are relative to this folder.
    folder: PathBuf,
}

impl Engines {
    /// Reads `named`, or `engines.toml` in the current folder if it is there.
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

    /// The lane with the command that starts it. May build a commit.
    ///
    /// # Errors
    ///
    /// The problem, after the lane's name.
    pub(crate) fn lane(&self, name: &str, toolbox: &Toolbox) -> anyhow::Result<StudyLane> {
        let lane = self.lane_or_problem(name, toolbox);
        lane.with_context(|| format!("the lane {name}"))
    }

    fn lane_or_problem(&self, name: &str, toolbox: &Toolbox) -> anyhow::Result<StudyLane> {
        let (plain, version) = versioned(name).context("it has no version")?;
        let entry = lanes::find(plain)
            .with_context(|| format!("there is no lane `{plain}`; see `threadbare list`"))?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-~^/".contains(letter);
        ensure!(
            !version.is_empty() && version.chars().all(is_plain),
            "a version consists of letters, digits and the signs . _ - ~ ^ /"
        );
        let section = entry.foreign.map_or(plain, |language| language.name);
        let line = self
            .table
            .get(section)
            .and_then(|section| section.get(version));
        let mut name = name.to_owned();
        let (command, remark) = if entry.foreign.is_some() {
            let toolchain = self.toolchain(&entry, version, line)?;
            let remark = format!("version {version}: {}", toolchain.display());
            let command = toolbox.command_of_toolchain(&entry, &toolchain, version);
            (command, remark)
        } else {
            let built = self.built(&entry, line.map_or(version, String::as_str))?;
            if let (None, Some(commit)) = (line, &built.commit) {
                // A name such as HEAD~20 means another commit later.
                name = format!("{plain}@{}", short(commit));
            }
            let command = toolbox.command_of_base(&entry, &built.program);
            (command, format!("version {version}: {}", built.origin))
        };
        Ok(StudyLane {
            name,
            noun: format!("{} ({version})", entry.noun),
            variant_of: Some(entry.variant_of.unwrap_or(entry.name).to_owned()),
            remark,
            kernel_tasks: entry.kernel_tasks,
            command,
        })
    }

    fn toolchain(
        &self,
        entry: &LaneEntry,
        version: &str,
        line: Option<&String>,
    ) -> anyhow::Result<PathBuf> {
        let language = entry.foreign.context("a lane in Rust has no toolchain")?;
        let (name, install) = (language.name, language.install);
        let Some(line) = line else {
            bail!(
                "no table of engines says which program {name} {version} is: install it ({install}), and add a line \"{version}\" = \"PATH\" to the part [{name}] of {TABLE}"
            )
        };
        let file = self.folder.join(line);
        on_path(&file)
            .or_else(|| on_path(Path::new(line)))
            .with_context(|| {
                format!(
                    "the table of engines says that {name} {version} is {}, which is no program: install it ({install}), or correct the line",
                    file.display()
                )
            })
    }

    fn built(&self, entry: &LaneEntry, meant: &str) -> anyhow::Result<Built> {
        let file = self.folder.join(meant);
        if file.is_file() {
            return Ok(Built {
                origin: file.display().to_string(),
                program: file,
                commit: None,
            });
        }
        let commits = |recipe| Commits::of(&lane_program::workspace(), recipe);
        let library = library(entry.name);
        if let Some(library) = library.filter(|_| is_release(meant)) {
            let commits = commits(Recipe::with_release(library, meant))?;
            let commit = commits.find("HEAD")?;
            let program = commits.program(&commit).with_context(|| {
                format!(
                    "no build with {library} {meant}; is that a release of {library}, and can this host reach the registry of crates?"
                )
            })?;
            return Ok(Built {
                program,
                origin: format!("{library} {meant} in the sources of {}", short(&commit)),
                commit: None,
            });
        }
        let commits = commits(Recipe::default())?;
        let commit = commits.find(meant).with_context(|| {
            let release = library.map_or_else(String::new, |library| {
                format!(", and no release of {library} such as 1.2")
            });
            format!(
                "{meant} is no file and no commit of this clone{release}; `git log` lists the commits"
            )
        })?;
        Ok(Built {
            program: commits.program(&commit)?,
            origin: format!("the commit {}", short(&commit)),
            commit: Some(commit),
        })
    }
}

struct Built {
    program: PathBuf,
    /// Where it comes from, in words.
    origin: String,
    commit: Option<String>,
}

fn library(lane: &str) -> Option<&'static str> {
    const LIBRARIES: [&str; 5] = ["tokio", "smol", "may", "rayon", "corosensei"];
    let first = lane.split('-').next();
    LIBRARIES.into_iter().find(|name| first == Some(name))
}

fn is_release(version: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|one| one.is_ascii_digit());
    version.contains('.') && version.split('.').all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_has_a_dot_and_numbers_alone() {
        for (version, expected) in [
            ("1.47", true),
            ("2.0.1", true),
            ("1234567", false),
            ("v1.2", false),
            ("1.", false),
            ("1.x", false),
        ] {
            assert_eq!(is_release(version), expected, "{version}");
        }
    }

    #[test]
    fn variants_are_of_their_lanes_library() {
        assert_eq!(library("tokio-ct"), Some("tokio"));
        assert_eq!(library("rayon-join"), Some("rayon"));
        assert_eq!(library("threadbare"), None);
    }

    #[test]
    fn toolchain_is_below_the_table_or_on_path_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join(TABLE);
        std::fs::write(&table, "[go]\na = \"sh\"\nb = \"gone/go\"\n").unwrap();
        let engines = Engines::read(Some(&table)).unwrap();
        let go = lanes::find("go").unwrap();
        let of = |version: &str| {
            let line = engines.table["go"].get(version);
            engines.toolchain(&go, version, line)
        };
        assert!(of("a").unwrap().ends_with("sh"));
        let said = of("b").unwrap_err().to_string();
        assert!(
            said.contains("gone/go, which is no program: install it (scripts/install-go.sh"),
            "{said}"
        );
        let said = of("c").unwrap_err().to_string();
        assert!(
            said.contains("add a line \"c\" = \"PATH\" to the part [go] of engines.toml"),
            "{said}"
        );
    }
}
