//! The result file: JSON Lines, the only serialised types of a run.
