//! How it is measured: the study and the `threadbare` program.
