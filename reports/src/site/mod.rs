//! The figures of many machines, from a folder of runs.
//!
//! Runs of one machine and one setup (kernel, mitigations, releases, settings) are replicates:
//! their figures are combined, and their spread is the interval. Machines are never averaged, and
//! there are no p-values across machines.

mod disturbance;
mod facts;
mod figure;
mod pairs;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use crate::analysis::{Analysis, FALLBACK_REFERENCE};
use crate::run::Run;
use crate::schema::{FirstQuestion, MachineKeyInputs, Workload};
use crate::store::{Files, kept_path};
use crate::taints::{self, Tainted};
use crate::verify::{Looked, Standing, Verifier, look};

pub use disturbance::{Disturbance, Disturbed};
pub use facts::{Fact, release_order};
pub use figure::{Figure, Place};
pub use pairs::{Change, Pair, pairs};

/// The contents of a folder of runs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Collection {
    /// The machines, by their CPUs' names.
    pub machines: Vec<Machine>,
    /// The first screen's questions, each with the place that most runs have.
    pub questions: Vec<Question>,
    /// The lanes, in the order of the first run that has them.
    pub lanes: Vec<String>,
    /// The places, in the order of the first run that has them.
    pub places: Vec<Titled>,
    /// The lane to which all ratios refer.
    pub reference_lane: String,
    /// The files that are not accepted and the folders that could not be read.
    pub apart: Vec<Apart>,
    /// How many files and folders could not be read.
    pub unread_count: usize,
}

/// A question with the place that answers it on all machines.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    /// The question.
    pub question: FirstQuestion,
    /// The place that answers it.
    pub place: Titled,
}

/// A place with its text.
#[derive(Clone, Debug, Serialize)]
pub struct Titled {
    /// The place.
    pub place: Place,
    /// The workload's title.
    pub title: String,
    /// The parameters that distinguish it, in words; may be empty.
    pub case_text: String,
    /// The title of the quantity.
    pub quantity: String,
}

/// All runs with one machine key.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The machine key.
    pub key: String,
    /// The fields from which the key is made.
    pub inputs: MachineKeyInputs,
    /// Its setups, the newest first.
    pub setups: Vec<Setup>,
}

/// Runs of one machine with equal facts.
#[derive(Clone, Debug, Serialize)]
pub struct Setup {
    /// The facts, in the order of [`Fact::names`].
    pub facts: Vec<Fact>,
    /// The number of CPUs of each lane.
    pub cpus_count: usize,
    /// The runs, the newest first.
    pub runs: Vec<Kept>,
    /// The figures of all runs together.
    #[serde(skip)]
    pub figures: Figures,
    /// True for test data derived from other runs.
    pub derived: bool,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Kept {
    /// The path of its file below the folder.
    pub file: String,
    /// When it started.
    pub started: String,
    /// Its id.
    pub run_id: String,
    /// The disturbances, the most frequent first.
    pub disturbances: Vec<Tainted>,
    /// The file of a kept run, which the site may publish.
    #[serde(skip)]
    pub raw: Option<Raw>,
    /// The figures of this run.
    #[serde(skip)]
    pub figures: Figures,
}

/// The file of a kept run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Its path.
    pub source: PathBuf,
    /// Its path below the site's folder of runs, by [`kept_path`].
    pub place: PathBuf,
}

/// Figures by place and lane.
pub type Figures = BTreeMap<Place, BTreeMap<String, Figure>>;

/// A file that is not in the figures.
#[derive(Clone, Debug, Serialize)]
pub struct Apart {
    /// The path below the folder.
    pub file: String,
    /// Quarantined or refused.
    pub standing: Standing,
    /// The reasons.
    pub reasons: Vec<String>,
}

impl Machine {
    /// The facts in which its setups differ.
    #[must_use]
    pub fn varying(&self) -> Vec<&'static str> {
        let Some((first, others)) = self.setups.split_first() else {
            return Vec::new();
        };
        let facts = first.facts.iter();
        facts
            .map(|fact| (fact.name, fact.value.as_str()))
            .filter(|(name, value)| others.iter().any(|setup| setup.fact(name) != *value))
            .map(|(name, _)| name)
            .collect()
    }
}

impl Setup {
    /// The value of a fact; empty for an unknown name.
    #[must_use]
    pub fn fact(&self, name: &str) -> &str {
        let found = self.facts.iter().find(|fact| fact.name == name);
        found.map_or("", |fact| &fact.value)
    }

    /// True if the lanes had all CPUs. Otherwise figures do not show the machine's size.
    #[must_use]
    pub fn has_all_cpus(&self) -> bool {
        self.fact("CPUs of the run") == "all"
    }

    /// The lanes with their figures, the best first.
    #[must_use]
    pub fn ranked(&self, place: &Place) -> Vec<(&str, &Figure)> {
        let lanes = self.figures.get(place).into_iter().flatten();
        let mut ranked: Vec<(&str, &Figure)> = lanes
            .map(|(lane, figure)| (lane.as_str(), figure))
            .collect();
        ranked.sort_by(|(_, a), (_, b)| a.cost().total_cmp(&b.cost()));
        ranked
    }
}

impl Collection {
    /// Reads all runs at and below `folder`, on all CPUs.
    ///
    /// # Errors
    ///
    /// The file system's error for the folder. Files that cannot be read are
    /// [apart](Collection::apart).
    pub fn read(folder: &Path) -> io::Result<Collection> {
        let Files { found, unread } = Files::below(folder)?;
        let mut digests = digests(&found);
        let mut verifier = Verifier::default();
        let mut collection = Collection {
            reference_lane: FALLBACK_REFERENCE.to_owned(),
            unread_count: unread.len(),
            ..Collection::default()
        };
        let below = |path: &Path| {
            let below = path.strip_prefix(folder).unwrap_or(path);
            below.display().to_string()
        };
        let mut accepted = Vec::new();
        for (path, (looked, digest)) in found.iter().zip(&mut digests) {
            let finding = verifier.judge(path, looked);
            match (finding.standing, digest.take()) {
                (Standing::Accepted, Some(digest)) => accepted.push((below(path), digest)),
                (standing, _) => collection.apart.push(Apart {
                    file: below(path),
                    standing,
                    reasons: finding.reasons,
                }),
            }
        }
        collection
            .apart
            .extend(unread.into_iter().map(|(path, said)| Apart {
                file: below(&path),
                standing: Standing::Refused,
                reasons: vec![said],
            }));
        collection.add(accepted);
        Ok(collection)
    }

    fn add(&mut self, accepted: Vec<(String, Digest)>) {
        type Words = (String, String, String);
        let mut machines: BTreeMap<String, Vec<(String, Digest)>> = BTreeMap::new();
        let mut said: BTreeMap<Place, BTreeMap<Words, (usize, String)>> = BTreeMap::new();
        for (file, digest) in accepted {
            for lane in &digest.lanes {
                if !self.lanes.contains(lane) {
                    self.lanes.push(lane.clone());
                }
            }
            for titled in &digest.places {
                if !self.places.iter().any(|one| one.place == titled.place) {
                    self.places.push(titled.clone());
                }
                let one = titled.clone();
                let words = (one.title, one.case_text, one.quantity);
                let own = said.entry(one.place).or_default();
                let (count, newest) = own.entry(words).or_default();
                *count += 1;
                if *newest < digest.started {
                    newest.clone_from(&digest.started);
                }
            }
            let own = machines.entry(digest.key.clone()).or_default();
            own.push((file, digest));
        }
        // A place gets the text that most runs have, or the newest of equally frequent texts.
        for titled in &mut self.places {
            let words = said.remove(&titled.place).unwrap_or_default();
            let most = words.into_iter().max_by(|(_, a), (_, b)| a.cmp(b));
            if let Some((words, _)) = most {
                (titled.title, titled.case_text, titled.quantity) = words;
            }
        }
        self.questions = questions(machines.values().flatten().map(|(_, digest)| digest));
        self.machines = machines.into_values().filter_map(machine).collect();
        self.machines.sort_by(|a, b| {
            let name = |one: &Machine| (one.inputs.cpu_model.clone(), one.inputs.threads_count);
            name(a).cmp(&name(b)).then_with(|| a.key.cmp(&b.key))
        });
        // The places of the questions get the same texts.
        for question in &mut self.questions {
            let titled = self.places.iter();
            let place = &question.place.place;
            if let Some(found) = titled.clone().find(|one| one.place == *place) {
                question.place = found.clone();
            }
        }
    }

    /// All setups, each with its machine.
    pub fn setups(&self) -> impl Iterator<Item = (&Machine, &Setup)> {
        let machines = self.machines.iter();
        machines.flat_map(|machine| machine.setups.iter().map(move |setup| (machine, setup)))
    }

    /// Runs in the figures.
    #[must_use]
    pub fn runs_count(&self) -> usize {
        self.setups().map(|(_, setup)| setup.runs.len()).sum()
    }
}

struct Digest {
    key: String,
    inputs: MachineKeyInputs,
    facts: Vec<Fact>,
    cpus_count: usize,
    started: String,
    run_id: String,
    lanes: Vec<String>,
    places: Vec<Titled>,
    answers: Vec<(FirstQuestion, u32, Place, usize)>,
    figures: Vec<(Place, String, Figure)>,
    disturbances: Vec<Tainted>,
    raw: Option<Raw>,
    derived: bool,
}

fn digests(files: &[PathBuf]) -> Vec<(Looked, Option<Digest>)> {
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut done = Vec::new();
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut looked = look(path);
            let run = looked.run.take();
            done.push((path, looked, run.map(|run| digest(path, run))));
        }
        done
    };
    let mut all: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().map(|worker| match worker.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.flatten().collect()
    });
    all.sort_by_key(|(path, ..)| *path);
    all.into_iter()
        .map(|(_, looked, digest)| (looked, digest))
        .collect()
}

fn digest(path: &Path, mut run: Run) -> Digest {
    // One reference lane for all runs, because otherwise ratios would not be comparable.
    run.header.design.reference_lane = FALLBACK_REFERENCE.to_owned();
    let run = &run;
    let analysis = Analysis::of_main_figures(run);
    let host = &run.header.host;
    let figures = figure::of_run(run, &analysis);
    let mut places: Vec<Titled> = Vec::new();
    let mut answers: Vec<(FirstQuestion, u32, Place, usize)> = Vec::new();
    for (place, _, _) in &figures {
        let Some(workload) = run.workload(&place.workload) else {
            continue;
        };
        if !places.iter().any(|one| one.place == *place) {
            places.push(titled(workload, place, &figures));
            if let Some((question, rank)) = answers_question(workload, place) {
                let lanes = figures.iter().filter(|(other, ..)| other == place).count();
                answers.push((question, rank, place.clone(), lanes));
            }
        }
    }
    Digest {
        key: host.machine.key(),
        inputs: host.machine.clone(),
        facts: facts::of(run),
        cpus_count: run.header.design.cpus.len(),
        started: run.header.started.clone(),
        run_id: run.header.run_id.clone(),
        lanes: run
            .header
            .lanes
            .iter()
            .map(|lane| lane.name.clone())
            .collect(),
        places,
        answers,
        disturbances: taints::by_kind(run),
        raw: path
            .extension()
            .is_some_and(|end| end == "zst")
            .then(|| Raw {
                source: path.to_owned(),
                place: kept_path(&run.header),
            }),
        derived: run.header.environment.contains_key("derived_from"),
        figures,
    }
}

/// The text of a place, with only the parameters that differ between the workload's places.
fn titled(workload: &Workload, place: &Place, figures: &[(Place, String, Figure)]) -> Titled {
    let cases = figures
        .iter()
        .filter(|(other, ..)| other.workload == place.workload)
        .map(|(other, ..)| &other.case);
    let varies = |name: &str| {
        let value = place.case.0.get(name);
        cases.clone().any(|case| case.0.get(name) != value)
    };
    let quantity = figure::quantities(workload);
    let quantity = quantity.into_iter().find(|one| one.id == place.quantity);
    Titled {
        place: place.clone(),
        title: workload.title.clone(),
        case_text: place.case.only(varies).text(Some(workload)),
        quantity: quantity.map_or_else(String::new, |one| one.title),
    }
}

fn answers_question(workload: &Workload, place: &Place) -> Option<(FirstQuestion, u32)> {
    let screen = workload.first_screen.as_ref()?;
    let quantity = figure::answering(workload)?;
    let has_value = |(name, value): (&String, &u64)| place.case.0.get(name) == Some(value);
    (quantity.id == place.quantity && screen.parameters.iter().all(has_value))
        .then_some((screen.question, screen.rank))
}

/// For each question, the place that most runs have. Equally frequent places are ordered by lowest
/// rank, most lanes and largest case, as on a run's own page.
fn questions<'a>(digests: impl Iterator<Item = &'a Digest>) -> Vec<Question> {
    type Seen<'a> = (usize, usize, u32, &'a Digest);
    let mut seen: BTreeMap<FirstQuestion, BTreeMap<&Place, Seen<'_>>> = BTreeMap::new();
    for digest in digests {
        for (question, rank, place, lanes) in &digest.answers {
            let of_question = seen.entry(*question).or_default();
            let one = of_question.entry(place).or_insert((0, 0, *rank, digest));
            one.0 += 1;
            one.1 = one.1.max(*lanes);
        }
    }
    let chosen = seen.into_iter().filter_map(|(question, places)| {
        let best = places
            .into_iter()
            .max_by_key(|(place, (runs, lanes, rank, _))| {
                (*runs, std::cmp::Reverse(*rank), *lanes, *place)
            });
        let (place, (.., digest)) = best?;
        let found = digest.places.iter().find(|one| one.place == *place)?;
        Some(Question {
            question,
            place: found.clone(),
        })
    });
    chosen.collect()
}

fn machine(runs: Vec<(String, Digest)>) -> Option<Machine> {
    let (key, inputs) = runs
        .first()
        .map(|(_, digest)| (digest.key.clone(), digest.inputs.clone()))?;
    let mut setups: BTreeMap<Vec<Fact>, Vec<(String, Digest)>> = BTreeMap::new();
    for (file, digest) in runs {
        let own = setups.entry(digest.facts.clone()).or_default();
        own.push((file, digest));
    }
    let mut setups: Vec<Setup> = setups
        .into_iter()
        .map(|(facts, runs)| setup(facts, runs))
        .collect();
    setups.sort_by(|a, b| b.runs[0].started.cmp(&a.runs[0].started));
    Some(Machine {
        key,
        inputs,
        setups,
    })
}

fn setup(facts: Vec<Fact>, mut runs: Vec<(String, Digest)>) -> Setup {
    runs.sort_by(|(_, a), (_, b)| b.started.cmp(&a.started));
    let mut figures: BTreeMap<Place, BTreeMap<String, Vec<Figure>>> = BTreeMap::new();
    let mut kept = Vec::new();
    let cpus_count = runs[0].1.cpus_count;
    let derived = runs.iter().any(|(_, digest)| digest.derived);
    for (file, digest) in runs {
        let mut own = Figures::new();
        for (place, lane, figure) in digest.figures {
            let lanes = figures.entry(place.clone()).or_default();
            lanes.entry(lane.clone()).or_default().push(figure.clone());
            own.entry(place).or_default().insert(lane, figure);
        }
        kept.push(Kept {
            file,
            started: digest.started,
            run_id: digest.run_id,
            disturbances: digest.disturbances,
            raw: digest.raw,
            figures: own,
        });
    }
    let together = |lanes: BTreeMap<String, Vec<Figure>>| {
        let lanes = lanes.into_iter();
        lanes
            .map(|(lane, all)| (lane, figure::together(&all)))
            .collect()
    };
    Setup {
        facts,
        cpus_count,
        runs: kept,
        figures: figures
            .into_iter()
            .map(|(place, lanes)| (place, together(lanes)))
            .collect(),
        derived,
    }
}
