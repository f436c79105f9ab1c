//! Finds the commit that changed a cell. Git's bisection chooses the commits. Each is measured in
//! one run, alternately with the good commit (`run --base`). The commit that is found is measured
//! again, against its parent.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use reports::change::{Change, ChangeRow};
use reports::stats::verdict::Verdict;
use serde::Serialize;

use crate::commits::{CommitError, Commits, short};
use crate::lane_program;
use crate::say::say;

/// How often a commit that is too noisy to judge is measured, each time for twice as long.
const TRIES: u32 = 3;

#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) workload: String,
    pub(crate) lane: String,
    pub(crate) budget_s: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) commit: String,
    pub(crate) subject: String,
    /// By how much its figure is above that of the base, the good commit or the parent; none if it
    /// does not build or has no figure.
    pub(crate) by: Option<String>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) problem: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) cell: String,
    pub(crate) measured: Vec<Measured>,
    /// The commits of which one made the step: more than one if some could not be judged, none if
    /// the bad commit does not differ.
    pub(crate) suspects: Vec<Suspect>,
    pub(crate) confirmation: Option<Confirmation>,
}

/// A second measurement of a suspect, against its parent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Confirmation {
    pub(crate) parent: String,
    pub(crate) outcome: Certainty,
    pub(crate) measured: Measured,
    /// The 95% interval of the change; none if `measured.by` has it, or if there is none.
    pub(crate) interval: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Certainty {
    /// The commit differs from its parent, in the direction of the step.
    Confirmed,
    /// The commit does not differ from its parent, or it differs in the other direction.
    Contradicted,
    /// Too noisy, or one of the two commits does not build or has no figure.
    Open,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Suspect {
    pub(crate) commit: String,
    pub(crate) subject: String,
}

pub(crate) struct Search<'a> {
    pub(crate) commits: &'a Commits,
    pub(crate) watched: Watched,
    pub(crate) runs: PathBuf,
}

impl Search<'_> {
    pub(crate) fn between(&self, good: &str, bad: &str) -> anyhow::Result<Found> {
        let [good, bad] = [self.commits.find(good)?, self.commits.find(bad)?];
        let ancestor_query = ["merge-base", "--is-ancestor", &good, &bad];
        let good_is_ancestor = self.commits.git(ancestor_query).is_ok();
        ensure!(
            good_is_ancestor && good != bad,
            "{good} is no ancestor of {bad}: name the older commit first"
        );
        let base = self.commits.program(&good)?;
        let program = self.commits.program(&bad)?;
        let (first, row) = self.measure("search", &bad, &base, &program, None)?;
        let row = row.with_context(|| {
            format!(
                "{bad} has no figure of {} on {}: {}",
                self.watched.workload,
                self.watched.lane,
                first.problem.as_deref().unwrap_or("not measured")
            )
        })?;
        let mut found = Found {
            cell: [
                row.workload.as_str(),
                &row.case_text,
                &row.lane,
                &row.quantity.title,
            ]
            .into_iter()
            .filter(|words| !words.is_empty())
            .collect::<Vec<_>>()
            .join(", "),
            measured: vec![first],
            suspects: Vec::new(),
            confirmation: None,
        };
        if !matches!(row.verdict, Verdict::Faster | Verdict::Slower) {
            return Ok(found);
        }
        let mut git_output = self.commits.git(["bisect", "start", &bad, &good])?;
        while !git_output.contains("is the first bad commit") {
            let commit = self.commits.git(["rev-parse", "HEAD"])?;
            let measured = match self.commits.program(&commit) {
                Ok(program) => {
                    self.measure("search", &commit, &base, &program, Some(&row))?
                        .0
                }
                Err(CommitError::Build { message, .. }) => Measured {
                    problem: Some(format!("it does not build: {message}")),
                    ..self.unmeasured(&commit)?
                },
                Err(error) => return Err(error.into()),
            };
            let word = match measured.verdict {
                None | Some(Verdict::CannotTell) => "skip",
                Some(verdict) if verdict == row.verdict => "bad",
                Some(_) => "good",
            };
            say(format!("{word}: {} {}", measured.commit, measured.subject));
            found.measured.push(measured);
            git_output = match self.commits.git(["bisect", word, &commit]) {
                Ok(git_output) => git_output,
                // Git's exit status is 2 if only skipped commits are left.
                Err(CommitError::Git { message, .. }) if message.contains("only 'skip'ped") => {
                    message
                }
                Err(error) => return Err(error.into()),
            };
            if git_output.contains("only 'skip'ped") {
                break;
            }
        }
        found.suspects = self.suspects()?;
        if let [only] = found.suspects.as_slice() {
            found.confirmation = Some(self.confirm(&only.commit, &row)?);
        }
        Ok(found)
    }

    /// The search watches the case with the largest change, which may be due to chance. So the
    /// suspect is measured again.
    fn confirm(&self, commit: &str, step: &ChangeRow) -> anyhow::Result<Confirmation> {
        let parent = self.commits.git(["rev-parse", &format!("{commit}^")])?;
        say(format!("measuring {commit} again, against its parent"));
        let programs = self.commits.program(&parent).and_then(|base| {
            let program = self.commits.program(commit)?;
            Ok((base, program))
        });
        let (measured, row) = match programs {
            Ok((base, program)) => self.measure("again", commit, &base, &program, Some(step))?,
            Err(CommitError::Build {
                commit: which,
                message,
            }) => {
                let problem = Some(format!("{which} does not build: {message}"));
                let measured = Measured {
                    problem,
                    ..self.unmeasured(commit)?
                };
                (measured, None)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Confirmation {
            parent,
            outcome: match measured.verdict {
                None | Some(Verdict::CannotTell) => Certainty::Open,
                Some(verdict) if verdict == step.verdict => Certainty::Confirmed,
                Some(_) => Certainty::Contradicted,
            },
            measured,
            interval: row.and_then(|row| interval(&row)),
        })
    }

    /// The first bad commit and its ancestors, except good commits and their ancestors.
    fn suspects(&self) -> anyhow::Result<Vec<Suspect>> {
        let good = self.commits.git([
            "for-each-ref",
            "--format=^%(objectname)",
            "refs/bisect/good-*",
        ])?;
        let words = ["log", "--format=%H %s", "refs/bisect/bad"];
        let log = self.commits.git(words.into_iter().chain(good.lines()))?;
        let suspects = log.lines().filter_map(|line| line.split_once(' '));
        Ok(suspects
            .map(|(commit, subject)| Suspect {
                commit: commit.to_owned(),
                subject: subject.to_owned(),
            })
            .collect())
    }

    fn unmeasured(&self, commit: &str) -> anyhow::Result<Measured> {
        Ok(Measured {
            commit: commit.to_owned(),
            subject: self.commits.git(["log", "-1", "--format=%s", commit])?,
            by: None,
            verdict: None,
            problem: None,
        })
    }

    /// Measures a commit against `base`, and again for longer if the result is too noisy. Watches
    /// the row `step`, or in the first run the row with the largest change, of the decided rows if
    /// there are any. The names of the runs' folders begin with `label`.
    fn measure(
        &self,
        label: &str,
        commit: &str,
        base: &Path,
        program: &Path,
        step: Option<&ChangeRow>,
    ) -> anyhow::Result<(Measured, Option<ChangeRow>)> {
        let mut measured = self.unmeasured(commit)?;
        let mut found = None;
        for attempt in 0..TRIES {
            let folder = self
                .runs
                .join(format!("{label}-{}-{attempt}", short(commit)));
            let file = self.run(base, program, self.watched.budget_s << attempt, &folder)?;
            let run = reports::store::read(&file)?;
            let sides = run.sides().context("the run has one build only")?;
            let change = Change::between(&sides[0], &sides[1]);
            let is_watched = |row: &&ChangeRow| {
                (row.workload == self.watched.workload && row.lane == self.watched.lane)
                    && row.is_main()
                    && step.is_none_or(|step| step.case == row.case)
            };
            let size = |row: &&ChangeRow| {
                let is_decided = matches!(row.verdict, Verdict::Faster | Verdict::Slower);
                (is_decided, (row.ratio.value.ln().abs() * 1e9) as u64)
            };
            found = change
                .rows
                .iter()
                .filter(is_watched)
                .max_by_key(size)
                .cloned();
            let Some(row) = &found else {
                let missing = change.missing.first();
                measured.problem = Some(missing.map_or_else(
                    || "it has no figure of the cell".to_owned(),
                    |one| one.why.clone(),
                ));
                break;
            };
            measured.by = Some(row.by());
            measured.verdict = Some(row.verdict);
            if row.verdict != Verdict::CannotTell {
                break;
            }
        }
        Ok((measured, found))
    }

    /// Runs `threadbare run --base` in a separate process, because an environment variable names
    /// the lane program. Returns the result file.
    fn run(
        &self,
        base: &Path,
        program: &Path,
        budget_s: u64,
        folder: &Path,
    ) -> anyhow::Result<PathBuf> {
        let status = Command::new(std::env::current_exe()?)
            .args(["run", "--lane", &self.watched.lane])
            .args(["--workload", &self.watched.workload])
            .args(["--budget", &budget_s.to_string()])
            .arg("--base")
            .arg(base)
            .arg("--out")
            .arg(folder)
            .env(lane_program::VARIABLE, program)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("starting threadbare run")?;
        let file = folder.join("run.jsonl");
        // Status 1: a lane failed, and has no figure.
        let is_usable = status.success() || status.code() == Some(1);
        ensure!(
            is_usable && file.is_file(),
            "threadbare run ended with {status}; see above"
        );
        Ok(file)
    }
}

fn interval(row: &ChangeRow) -> Option<String> {
    let interval = row.ratio.interval.filter(|_| row.difference.is_none())?;
    let [low, high] = [interval.low, interval.high].map(|end| (end - 1.0) * 100.0);
    Some(format!("{low:+.1}% to {high:+.1}%"))
}
