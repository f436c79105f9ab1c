//! The states and waits of goroutines, for programs and people. Callers pass the records.
//!
//! | file         | what is there                                             |
//! |--------------|-----------------------------------------------------------|
//! | `inspect`    | reading records and stacks while the goroutines continue  |
//! | `info`       | one line for each goroutine                               |
//! | `profile`    | goroutines in groups that have equal stacks               |
//! | `contention` | samples of waits, and of the unlocks that ended them      |
//! | `snapshot`   | the flight recorder's rings as one trace                  |
//! | `stderr`     | reports of the above on stderr                            |

pub(crate) mod contention;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod profile;
pub(crate) mod snapshot;
pub(crate) mod stderr;
