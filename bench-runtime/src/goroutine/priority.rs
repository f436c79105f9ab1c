use super::Goroutine;

/// The scheduling class of a goroutine.
///
/// Goroutines of the high class run before all others, and those of the low class if nothing else
/// is runnable. In a share of its picks a thread checks the lower classes first, so no class
/// starves.
///
/// In a pinned runtime the class decides only when a goroutine starts. After its start it waits in
/// the one queue of its thread.
///
/// # Examples
///
/// ```
/// use bench_runtime::{GoBuilder, Priority, Runtime, chan};
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// let order = unsafe { Runtime::builder().procs(1).build() }?.run(|| {
///     let (tx, rx) = chan(3);
///     for class in [Priority::Low, Priority::Normal, Priority::High] {
///         let tx = tx.clone();
///         let start = GoBuilder::new().priority(class);
///         drop(start.go(move || tx.send(class)).unwrap());
///     }
///     drop(tx);
///     rx.iter().collect::<Vec<_>>()
/// });
/// assert_eq!(order.len(), 3);
/// println!("{order:?}"); // Mostly the high one first.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Priority {
    /// Between high and low.
    #[default]
    Normal = 0,
    /// Runs before all other classes.
    High = 1,
    /// Runs if nothing else is runnable, and in a share of the picks before other classes.
    Low = 2,
}

impl Priority {
    pub(crate) fn of(g: &Goroutine) -> Self {
        match g.priority_bits() {
            1 => Self::High,
            2 => Self::Low,
            _ => Self::Normal,
        }
    }
}
