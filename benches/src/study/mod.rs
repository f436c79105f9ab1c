//! The study: measures every workload on every lane, in fresh processes, and writes the samples.
//!
//! # Words
//!
//! A **cell** is one lane on one case: a workload with given parameters. A **block** measures cells
//! of one workload once, each in a fresh process. A **round** is one block of a case. The
//! `process_index` of a sample is its round.
//!
//! # The protocol of a run
//!
//! 1. `probe`: each lane is started once and reports what it can run.
//! 2. `load`: the load generator's limit, if a server is loaded.
//! 3. `calibrate`: each cell is tried, to find how many iterations make a sample of a sensible
//!    length. A cell that fails here is recorded and left out.
//! 4. `plan`: the number and length of samples are fitted to the time budget, and the order of the
//!    first rounds is drawn from the seed.
//! 5. `measure`: the blocks are measured, each on the disk before the next begins. Each process
//!    warms up before its first sample (`warm_up`).
//! 6. `comparisons`: then the undecided comparisons are measured, first those with the most
//!    expected verdicts a second. The run ends when all are decided, or the time is up.
//!
//! # Why in this order
//!
//! A workload's blocks are spread over the run, so a disturbance of a minute affects only some
//! blocks. Rounds come in pairs: a random order, then its reverse, so no lane is early more often
//! than another.

mod calibrate;
mod comparisons;
mod execute;
mod header;
mod load;
mod measure;
mod observer;
mod plan;
mod preset;
mod probe;
mod setup;
mod warm_up;

pub use execute::{StudyError, resume, run};
pub use measure::Outcome;
pub use observer::{Observer, Silent};
pub use plan::{Plan, PlannedBlock, PlannedCell, cell_name, random_seed};
pub use preset::Preset;
pub use probe::{Known, ProbedLane};
pub use setup::{Depth, Setup, StudyLane};
