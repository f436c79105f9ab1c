//! How a study goes, on stderr: a bar with the time left on a terminal, plain
//! lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reports::schema::{Failure, Taint};

use crate::study::{Observer, Plan, PlannedBlock, PlannedCell, cell_name};

/// Without a terminal: how long it may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Shows a study on stderr.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    plain: bool,
    /// Milliseconds of the plan, by its estimate: in all, and before each block.
    before: Vec<u64>,
    /// The cells of the block so far, by their estimate.
    in_block_ms: u64,
    round: Option<u64>,
    spoke: Instant,
    began: Instant,
    blocks_count: usize,
    rounds_count: u64,
    /// True where rounds go on until enough is known, however many they are.
    is_open: bool,
    blocks_by_taint: BTreeMap<String, u64>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let plain = !std::io::stderr().is_terminal();
        let bar = if plain {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        // A thread that redraws would run on the lanes' CPUs: the study's own
        // calls are often enough.
        bar.set_draw_target(match plain {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(8),
        });
        Self {
            bar,
            plain,
            before: Vec::new(),
            in_block_ms: 0,
            round: None,
            spoke: Instant::now(),
            began: Instant::now(),
            blocks_count: 0,
            rounds_count: 0,
            is_open: false,
            blocks_by_taint: BTreeMap::new(),
        }
    }

    /// Ends the bar; how many blocks each taint has touched.
    pub(super) fn finish(self) -> BTreeMap<String, u64> {
        self.bar.finish_and_clear();
        self.blocks_by_taint
    }

    /// Says it where there is no bar and nothing was said for a while.
    fn say_if_silent(&mut self, text: impl FnOnce(Duration) -> String) {
        if self.plain && self.spoke.elapsed() >= SILENCE {
            let text = text(self.began.elapsed());
            self.say(&text);
        }
    }

    fn say(&mut self, text: &str) {
        self.spoke = Instant::now();
        if self.plain {
            eprintln!("{text}");
        } else {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }
}

/// A duration for a person: `2 min 5 s`, `40 s`.
pub(super) fn rough(duration: Duration) -> String {
    let seconds = (duration.as_secs_f64() + 0.5) as u64;
    match seconds {
        0 => "1 s".to_owned(),
        1..=99 => format!("{seconds} s"),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// ` of 5`, where it is known how many there will be.
fn of(is_open: bool, count: u64) -> String {
    match is_open {
        true => String::new(),
        false => format!(" of {count}"),
    }
}

impl Observer for Progress {
    fn preparing(&mut self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.bar.tick();
        self.say_if_silent(|since| format!("{} in: {what}", rough(since)));
    }

    fn planned(&mut self, plan: &Plan, done: usize) {
        let mut sum = 0;
        self.before.clear();
        for block in &plan.blocks {
            self.before.push(sum);
            sum += block
                .cells
                .iter()
                .map(|&at| plan.cells[at].estimate_ns / 1_000_000)
                .sum::<u64>();
        }
        self.before.push(sum);
        self.rounds_count = plan.processes_count();
        self.blocks_count = plan.blocks.len();
        self.is_open = plan.precision_ratio.is_some();
        if !plan.left_out.is_empty() {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for point in &plan.left_out {
                *counts
                    .entry(point.split(' ').next().unwrap_or(point))
                    .or_default() += 1;
            }
            let counts: Vec<String> = counts
                .into_iter()
                .map(|(workload, count)| format!("{workload} {count}"))
                .collect();
            self.say(&format!(
                "points left out, for they do not fit into the time (--full and --budget give more): {}",
                counts.join(", ")
            ));
        }
        let cells = plan.cells.iter().filter(|cell| !cell.control).count();
        self.say(&match plan.precision_ratio {
            Some(ratio) => format!(
                "{cells} cells in fresh processes, until a change of {:.0}% could be told of each or the time is up",
                ratio * 100.0
            ),
            None => format!(
                "{cells} cells in {} rounds of fresh processes; about {}",
                self.rounds_count,
                rough(plan.estimate(done))
            ),
        });
        self.bar.set_length(sum.max(1));
        // A run that was asked for a precision may be past the plan's end.
        let position = self.before.get(done).or(self.before.last());
        self.bar.set_position(position.copied().unwrap_or_default());
        let style = ProgressStyle::with_template("{bar:24} {prefix:>12}  {wide_msg}");
        if let Ok(style) = style {
            self.bar.set_style(style.progress_chars("━━─"));
        }
    }

    fn cell(&mut self, block: &PlannedBlock, cell: &PlannedCell, left: Duration) {
        if self.plain && self.round != Some(block.process_index) {
            let round = block.process_index + 1;
            let of = of(self.is_open, self.rounds_count);
            self.say(&format!("round {round}{of}; about {} left", rough(left)));
        }
        self.round = Some(block.process_index);
        let (done, of) = (block.index, of(self.is_open, self.blocks_count as u64));
        self.say_if_silent(|_| format!("{done}{of} blocks done, about {} left", rough(left)));
        let place = usize::try_from(block.index).unwrap_or(usize::MAX);
        let before = self.before.get(place).copied().unwrap_or_default();
        self.bar.set_position(before + self.in_block_ms);
        self.in_block_ms += cell.estimate_ns / 1_000_000;
        let within = Duration::from_millis(self.in_block_ms);
        self.bar
            .set_prefix(format!("{} left", rough(left.saturating_sub(within))));
        self.bar
            .set_message(cell_name(&cell.workload, &cell.lane, &cell.parameters));
        self.bar.tick();
    }

    fn block_done(&mut self, block: &PlannedBlock, left: Duration) {
        self.in_block_ms = 0;
        let place = usize::try_from(block.index)
            .unwrap_or(usize::MAX)
            .saturating_add(1);
        self.bar
            .set_position(self.before.get(place).copied().unwrap_or_default());
        self.bar.set_prefix(format!("{} left", rough(left)));
    }

    fn failed(&mut self, failure: &Failure) {
        if !failure.kind.is_expected() {
            let cell = cell_name(&failure.workload, &failure.lane, &failure.parameters);
            self.say(&format!("{cell}: {}", failure.message));
        }
    }

    fn tainted(&mut self, taint: &Taint) {
        match taint.block_index {
            None => self.say(&format!("taint: {}", taint.message)),
            Some(_) => *self.blocks_by_taint.entry(taint.kind.clone()).or_default() += 1,
        }
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }
}
