//! The lane program as the study uses it: a process that speaks JSON lines.

mod answer;
mod backend;
mod cells;
mod limits;
mod memory;
mod program;
mod protocol;
