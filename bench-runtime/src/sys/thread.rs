use std::fs;

#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadId(libc::pid_t);

impl ThreadId {
    pub(crate) fn of_this_thread() -> Self {
        if cfg!(miri) {
            return Self(0);
        }
        // SAFETY: no memory is passed.
        Self(unsafe { libc::gettid() })
    }
}

/// What the kernel says of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It runs, or waits for a CPU.
    Runnable,
    Asleep,
    Unknown,
}

/// Reads a file.
pub(crate) fn state_of(thread: ThreadId) -> State {
    let stat = fs::read(format!("/proc/self/task/{}/stat", thread.0)).unwrap_or_default();
    state_by(&stat)
}

/// The state is the word after the name, which is in parentheses and may contain any character.
fn state_by(stat: &[u8]) -> State {
    let name_ends = stat.iter().rposition(|&byte| byte == b')');
    match name_ends.and_then(|at| stat.get(at + 2)) {
        Some(b'R') => State::Runnable,
        Some(b'S' | b'D') => State::Asleep,
        _ => State::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_found_behind_any_name() {
        assert_eq!(state_by(b"7 (m3) S 1 7"), State::Asleep);
        assert_eq!(state_by(b"7 (a) R (b) D 1 7"), State::Asleep);
        assert_eq!(state_by(b"7 (m3) R 1 7"), State::Runnable);
        assert_eq!(state_by(b"7 (S"), State::Unknown);
        assert_eq!(state_by(b""), State::Unknown);
    }

    #[test]
    fn calling_thread_is_runnable() {
        assert_eq!(state_of(ThreadId::of_this_thread()), State::Runnable);
    }
}
