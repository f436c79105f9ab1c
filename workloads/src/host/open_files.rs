use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises this process's limit of open files to the hard limit.
pub(crate) fn raise_limit() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
}
