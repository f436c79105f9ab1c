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

/// True if the thread sleeps, and does not wait for a CPU. False if the kernel does not say.
pub(crate) fn is_asleep(thread: ThreadId) -> bool {
    let stat = fs::read(format!("/proc/self/task/{}/stat", thread.0)).unwrap_or_default();
    is_asleep_by(&stat)
}

/// The state is the word after the name, which is in parentheses and may contain any character.
fn is_asleep_by(stat: &[u8]) -> bool {
    let name_ends = stat.iter().rposition(|&byte| byte == b')');
    let state = name_ends.and_then(|at| stat.get(at + 2));
    matches!(state, Some(b'S' | b'D'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_found_behind_any_name() {
        assert!(is_asleep_by(b"7 (m3) S 1 7"));
        assert!(is_asleep_by(b"7 (a) R (b) D 1 7"));
        assert!(!is_asleep_by(b"7 (m3) R 1 7"));
        assert!(!is_asleep_by(b"7 (S"));
        assert!(!is_asleep_by(b""));
    }

    #[test]
    fn calling_thread_is_awake() {
        assert!(!is_asleep(ThreadId::of_this_thread()));
    }
}
