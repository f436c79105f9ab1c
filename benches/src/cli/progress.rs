//! The progress of a study, on stderr: a bar on a terminal; lines elsewhere, and on a terminal that
//! is wider than any screen.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reports::schema::{Failure, Taint};
use terminal_size::{Width, terminal_size_of};

use crate::say::{say, visible};
use crate::study::{Observer, Plan, PlannedBlock, PlannedCell, cell_name};

/// Without a bar: the longest time between two lines.
const SILENCE: Duration = Duration::from_secs(30);

/// The most columns of a terminal that gets a bar. A bar is as wide as the terminal and is
/// drawn several times a second.
const WIDEST: u16 = 1_000;

#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    plain: bool,
    decided: String,
    round: Option<u64>,
    last_line: Instant,
    began: Instant,
    rounds_count: u64,
}

impl Progress {
    pub(super) fn new() -> Self {
        let stderr = std::io::stderr();
        let columns = terminal_size_of(&stderr).map_or(0, |(Width(columns), _)| columns);
        let plain = !stderr.is_terminal() || columns > WIDEST;
        let bar = if plain {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        // No thread redraws the bar, because it would run on the lanes' CPUs. The study reports
        // often enough.
        bar.set_draw_target(match plain {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr_with_hz(8),
        });
        Self {
            bar,
            plain,
            decided: String::new(),
            round: None,
            last_line: Instant::now(),
            began: Instant::now(),
            rounds_count: 0,
        }
    }

    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn say_if_silent(&mut self, text: impl FnOnce(Duration) -> String) {
        if self.plain && self.last_line.elapsed() >= SILENCE {
            let text = text(self.began.elapsed());
            self.say(&text);
        }
    }

    fn say_if_plain(&mut self, text: &str) {
        if self.plain {
            self.say(text);
        }
    }

    fn say(&mut self, text: &str) {
        self.last_line = Instant::now();
        if self.plain {
            say(text);
        } else {
            self.bar.suspend(|| say(text));
        }
    }
}

pub(super) fn rough(duration: Duration) -> String {
    let seconds = (duration.as_secs_f64() + 0.5) as u64;
    match seconds {
        0 => "1 s".to_owned(),
        1..=99 => format!("{seconds} s"),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

const STEPS: u64 = 1_000;

impl Observer for Progress {
    fn preparing(&mut self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.bar.tick();
        self.say_if_silent(|since| format!("{} in: {what}", rough(since)));
    }

    fn planned(&mut self, plan: &Plan, done: usize) {
        self.rounds_count = plan.processes_count();
        if !plan.left_out.is_empty() {
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for case in &plan.left_out {
                *counts
                    .entry(case.split(' ').next().unwrap_or(case))
                    .or_default() += 1;
            }
            let counts: Vec<String> = counts
                .into_iter()
                .map(|(workload, count)| format!("{workload} {count}"))
                .collect();
            self.say(&format!(
                "left out for lack of time (--full and --budget give more): {}",
                counts.join(", ")
            ));
        }
        let cells = plan.cells.iter().filter(|cell| !cell.control).count();
        let rounds = format!("{cells} cells, {} fresh processes each", self.rounds_count);
        self.say(&match (plan.precision_ratio, plan.goes_on) {
            (Some(ratio), true) => format!(
                "{rounds}, then more until a change of {:.0}% would be detected in each, or the time is up",
                ratio * 100.0
            ),
            (None, true) => format!(
                "{rounds} (about {}), then more until all comparisons are decided, or the time is up",
                rough(plan.estimate(done))
            ),
            (_, false) => format!("{rounds}; about {}", rough(plan.estimate(done))),
        });
        self.bar.set_length(STEPS);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {prefix:>12}  {wide_msg}") {
            self.bar.set_style(style.progress_chars("━━─"));
        }
    }

    fn cell(&mut self, block: &PlannedBlock, cell: &PlannedCell, left: Duration) {
        let is_planned = block.process_index < self.rounds_count;
        let round = match is_planned {
            true => format!(
                "round {} of {}, ",
                block.process_index + 1,
                self.rounds_count
            ),
            false => String::new(),
        };
        let number = block.index + 1;
        let text = format!(
            "{round}block {number}{}; at most {} left",
            self.decided,
            rough(left)
        );
        match self.round.replace(block.process_index) {
            None => self.say_if_plain(&text),
            Some(_) => self.say_if_silent(|_| text),
        }
        let decided = self.decided.clone();
        let elapsed = self.began.elapsed().as_secs_f64();
        let share = elapsed / (elapsed + left.as_secs_f64()).max(f64::MIN_POSITIVE);
        self.bar.set_position((share * STEPS as f64) as u64);
        self.bar.set_prefix(format!("{} left", rough(left)));
        let name = cell_name(&cell.workload, &cell.lane, &cell.parameters);
        self.bar.set_message(format!("{}{decided}", visible(&name)));
        self.bar.tick();
    }

    fn block_done(&mut self, _block: &PlannedBlock, left: Duration) {
        self.bar.set_prefix(format!("{} left", rough(left)));
    }

    fn decided(&mut self, decided: usize, all: usize) {
        self.decided = format!(" · {decided} of {all} comparisons decided");
    }

    fn failed(&mut self, failure: &Failure) {
        if !failure.kind.is_expected() {
            let cell = cell_name(&failure.workload, &failure.lane, &failure.parameters);
            let line = reports::failure::line(failure.kind, &failure.message);
            self.say(&format!("{cell}: {line}"));
        }
    }

    fn tainted(&mut self, taint: &Taint) {
        // Taints of single blocks are listed by kind when the run has ended.
        if taint.block_index.is_none() {
            self.say(&format!("disturbance: {}", taint.message));
        }
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }
}
