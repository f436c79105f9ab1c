//! The runs that a fleet returned, compared with the list of the runs that were sent out.
//!
//! The script that starts the runs writes [`EXPECTED`] into the folder: a line for each run with
//! its folder, the kind of node and the tool, separated by tabs. No file is moved or removed here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use crate::format;
use crate::run::Run;
use crate::store::Files;
use crate::verify::{Standing, Verifier, look};

/// The name of the file that lists the runs that were sent out.
pub const EXPECTED: &str = "expected.tsv";

const MOST_BYTES: u64 = 1 << 20;

/// The state of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The run is complete, and `verify` would accept it.
    #[default]
    Whole,
    /// The run is complete, but its figures are doubtful for its machine.
    Quarantined,
    /// The folder has the same run already, under another name.
    Double,
    /// The run ended before everything was measured.
    CutShort,
    /// The run cannot be used.
    Refused,
    /// The run is not there.
    Missing,
}

impl State {
    /// The state in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Quarantined => "quarantined",
            Self::Double => "double",
            Self::CutShort => "cut short",
            Self::Refused => "refused",
            Self::Missing => "missing",
        }
    }
}

/// A run that was sent out, or that is in the folder.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Arrived {
    /// Its folder or file, below the collected folder.
    pub name: String,
    /// The kind of node; empty if it is not known.
    pub kind: String,
    /// The tool that placed it, and its job if that is known.
    pub placed_by: String,
    /// The node, by the run's own facts.
    pub node: String,
    /// The machine key.
    pub machine_key: String,
    /// Its state.
    pub state: State,
    /// The reasons for the state.
    pub reasons: Vec<String>,
    /// The result file.
    pub file: Option<PathBuf>,
}

/// Reads the list of the expected runs and all runs below `folder`. The expected runs come first,
/// in the order of the list, then the other runs.
///
/// # Errors
///
/// The file system's error for the folder.
pub fn collect(folder: &Path) -> io::Result<Vec<Arrived>> {
    let Files {
        found: mut files,
        mut unread,
    } = Files::below(folder)?;
    let mut found = Vec::new();
    let mut collector = Collector::default();
    for (name, kind, placed_by) in expected(folder)? {
        // Lines such as `.` or `/` name no run.
        let is_own = |path: &Path| {
            let below = path.strip_prefix(folder);
            below.is_ok_and(|below| below.starts_with(&name))
        };
        let place = files.iter().position(|file| is_own(file));
        let unreadable = unread.iter().position(|(path, _)| is_own(path));
        let sent = Arrived {
            name,
            kind,
            placed_by,
            state: State::Missing,
            reasons: vec!["it has left no result file".to_owned()],
            ..Arrived::default()
        };
        found.push(match (place, unreadable) {
            (Some(place), _) => collector.take(sent, files.remove(place)),
            (None, Some(place)) => Arrived {
                state: State::Refused,
                reasons: vec![unread.remove(place).1],
                ..sent
            },
            (None, None) => sent,
        });
    }
    let below = |path: &Path| {
        let below = path.strip_prefix(folder).unwrap_or(path);
        let run_path = match below.file_name() {
            Some(name) if name == "run.jsonl" => below.parent().unwrap_or(below),
            _ => below,
        };
        run_path.display().to_string()
    };
    for file in files {
        let unexpected = Arrived {
            name: below(&file),
            ..Arrived::default()
        };
        found.push(collector.take(unexpected, file));
    }
    found.extend(unread.into_iter().map(|(path, said)| Arrived {
        name: below(&path),
        state: State::Refused,
        reasons: vec![said],
        ..Arrived::default()
    }));
    Ok(found)
}

/// The lines of [`EXPECTED`]: name, kind, tool and job. Each name occurs once.
fn expected(folder: &Path) -> io::Result<Vec<(String, String, String)>> {
    let mut bytes = Vec::new();
    let read = File::open(folder.join(EXPECTED))
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io::Error::new(error.kind(), format!("{EXPECTED}: {error}"))),
        Ok(_) => {}
    }
    let text = std::str::from_utf8(&bytes).ok();
    let text = text.filter(|text| text.len() as u64 <= MOST_BYTES && !text.contains('\0'));
    let text = text.ok_or_else(|| {
        io::Error::other(format!(
            "{EXPECTED} is not a list of runs. Each line has the run's folder, its kind and the tool that started it, with tabs between them. Correct the file, or move it away"
        ))
    })?;
    // A line may be only a name. A name with spaces is probably a line without its tabs.
    let lacks_tabs = |line: &str| !line.contains('\t') && line.trim().contains(char::is_whitespace);
    if let Some((place, line)) = text.lines().enumerate().find(|(_, line)| lacks_tabs(line)) {
        return Err(io::Error::other(format!(
            "{EXPECTED}: line {} has spaces and no tab: {line:?}; put tabs between the run's folder, its kind and the tool that started it",
            place + 1
        )));
    }
    let mut seen = BTreeSet::new();
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.split('\t').map(str::trim).map(str::to_owned);
        let name = fields.next().filter(|name| !name.is_empty())?;
        let mut next = || fields.next().unwrap_or_default();
        Some((name, next(), next()))
    });
    Ok(lines.filter(|line| seen.insert(line.0.clone())).collect())
}

#[derive(Default)]
struct Collector {
    verifier: Verifier,
    seen: BTreeMap<(String, String, Option<u32>), String>,
}

impl Collector {
    fn take(&mut self, sent: Arrived, file: PathBuf) -> Arrived {
        let looked = look(&file);
        let Some(run) = &looked.run else {
            return Arrived {
                state: State::Refused,
                reasons: self.verifier.judge(&file, &looked).reasons,
                file: Some(file),
                ..sent
            };
        };
        let header = &run.header;
        let said = |name: &str| {
            let placed = header.environment.get("placed").and_then(Value::as_object);
            let value = placed.and_then(|placed| placed.get(name)?.as_str());
            value.unwrap_or_default().to_owned()
        };
        let first_known = |known: String, said: String| if known.is_empty() { said } else { known };
        let arrived = Arrived {
            kind: first_known(sent.kind, said("kind")),
            placed_by: first_known(sent.placed_by, said("tool")),
            node: first_known(said("node"), header.host.name.clone()),
            machine_key: header.host.machine.key(),
            ..sent
        };
        let id = (
            header.run_id.clone(),
            header.started.clone(),
            header.design.shard.map(|shard| shard.index),
        );
        // A copy that is cut short or refused does not affect the complete one.
        let (state, reasons) = if let Some(before) = self.seen.get(&id) {
            (State::Double, vec![format!("it is the run {before}")])
        } else if !run.is_complete() && header.design.shard.is_none() {
            (
                State::CutShort,
                vec![how_to_continue(run, &arrived.placed_by)],
            )
        } else {
            let finding = self.verifier.judge(&file, &looked);
            let state = match finding.standing {
                Standing::Accepted => State::Whole,
                Standing::Quarantined => State::Quarantined,
                Standing::Refused => State::Refused,
            };
            if state != State::Refused {
                self.seen.insert(id, arrived.name.clone());
            }
            (state, finding.reasons)
        };
        Arrived {
            state,
            reasons,
            file: Some(file),
            ..arrived
        }
    }
}

fn how_to_continue(run: &Run, placed_by: &str) -> String {
    let samples = format::count(run.samples_count() as u64);
    let blocks = format::count(run.blocks.len() as u64);
    // The Ansible playbook measures in a separate folder, which may have been deleted.
    let place = match placed_by.starts_with("ansible") {
        true => "there, if .threadbare-run/results is still on that machine",
        false => "on that machine",
    };
    format!(
        "it ended after {samples} samples in {blocks} whole blocks; continue it with `threadbare run --resume` {place}"
    )
}
