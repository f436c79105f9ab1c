use std::time::Duration;

use reports::schema::{Failure, Taint};

use super::plan::{Plan, PlannedBlock, PlannedCell};

/// Shows the progress of a study. The study's own thread calls it, between samples.
pub trait Observer {
    /// A step before the measurement, such as `starting threadbare`.
    fn preparing(&mut self, what: &str);
    /// The plan is made; `done` blocks of it were measured earlier.
    fn planned(&mut self, plan: &Plan, done: usize);
    /// A cell is measured next; `left` is the estimate for the rest of the run.
    fn cell(&mut self, block: &PlannedBlock, cell: &PlannedCell, left: Duration);
    /// A block is complete and on the disk.
    fn block_done(&mut self, block: &PlannedBlock, left: Duration);
    /// This many of `all` comparisons of main figures are decided.
    fn decided(&mut self, decided: usize, all: usize);
    /// A cell could not be measured.
    fn failed(&mut self, failure: &Failure);
    /// A taint of the figures.
    fn tainted(&mut self, taint: &Taint);
    /// Anything else for the user.
    fn note(&mut self, text: &str);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn preparing(&mut self, _what: &str) {}
    fn planned(&mut self, _plan: &Plan, _done: usize) {}
    fn cell(&mut self, _block: &PlannedBlock, _cell: &PlannedCell, _left: Duration) {}
    fn block_done(&mut self, _block: &PlannedBlock, _left: Duration) {}
    fn decided(&mut self, _decided: usize, _all: usize) {}
    fn failed(&mut self, _failure: &Failure) {}
    fn tainted(&mut self, _taint: &Taint) {}
    fn note(&mut self, _text: &str) {}
}
