//! Finds the lane program `threadbare-lane`. Builds it if necessary, together with the lane program
//! with mimalloc. The lane program is, in this order:
//!
//! 1. The program that `THREADBARE_LANE_PROGRAM` names.
//! 2. If cargo started this program: the one that cargo now builds in the same profile, which is
//!    never older than the sources.
//! 3. The one beside this program, or one folder up (from cargo's `deps/`).

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use workloads::lane::Program;

use crate::lanes::on_path;

/// The variable that names the lane program.
pub const VARIABLE: &str = "THREADBARE_LANE_PROGRAM";
const NAME: &str = Program::Plain.file_name();

/// Why there is no lane program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaneProgramError {
    /// The variable names no file.
    #[error("{VARIABLE} is {}, which is no file; correct it or unset it", .0.display())]
    NoSuchFile(PathBuf),
    /// Nothing was found.
    #[error(
        "the lane program {NAME} is not beside {}; build it with `cargo build --release -p workloads`, or name it in {VARIABLE}",
        .0.display()
    )]
    NotFound(PathBuf),
    /// Cargo could not build it.
    #[error(
        "cargo could not build the lane program: {0}; try `cargo build --release -p workloads`"
    )]
    Build(String),
}

/// Whether [`find`] will run cargo to build the lane program.
#[must_use]
pub fn is_built_by_cargo() -> bool {
    env::var_os(VARIABLE).is_none() && env::var_os("CARGO").is_some()
}

/// The lane program's path. May build the program, which blocks the thread.
///
/// # Errors
///
/// [`LaneProgramError`] tells what to do.
pub fn find() -> Result<PathBuf, LaneProgramError> {
    let named = env::var_os(VARIABLE);
    let own = own_path();
    match (named, env::var_os("CARGO")) {
        (Some(named), _) => check_named(named),
        (None, Some(cargo)) => {
            let beside = beside(&own);
            build(&cargo, &own).or_else(|error| {
                // This program was moved away from the sources, and the lane program is beside it.
                beside.filter(|_| !workspace().is_dir()).ok_or(error)
            })
        }
        (None, None) => beside(&own).ok_or(LaneProgramError::NotFound(own)),
    }
}

/// This program's path; if there is no `/proc`, found from `argv[0]`.
fn own_path() -> PathBuf {
    env::current_exe().unwrap_or_else(|_| {
        let word = PathBuf::from(env::args_os().next().unwrap_or_default());
        let found = on_path(&word).unwrap_or(word);
        std::path::absolute(&found).unwrap_or(found)
    })
}

fn check_named(named: OsString) -> Result<PathBuf, LaneProgramError> {
    let path = PathBuf::from(named);
    if path.is_file() {
        Ok(path)
    } else {
        Err(LaneProgramError::NoSuchFile(path))
    }
}

pub(crate) fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

fn beside(own: &Path) -> Option<PathBuf> {
    let folder = own.parent()?;
    [Some(folder), folder.parent()]
        .into_iter()
        .flatten()
        .map(|folder| folder.join(NAME))
        .find(|path| path.is_file())
}

fn profile_folder(own: &Path) -> Option<&Path> {
    let folder = own.parent()?;
    if folder.file_name()? == "deps" {
        folder.parent()
    } else {
        Some(folder)
    }
}

fn profile_of(folder: &Path) -> &str {
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some("release") | None => "release",
        Some(other) => other,
    }
}

/// For a user's own crate: `dev` if this program is a debug build, else `release`.
pub(crate) fn own_profile() -> &'static str {
    let own = own_path();
    match profile_folder(&own).map(profile_of) {
        Some("dev") => "dev",
        _ => "release",
    }
}

fn build(cargo: &OsString, own: &Path) -> Result<PathBuf, LaneProgramError> {
    let wrong = |error: io::Error| LaneProgramError::Build(error.to_string());
    let folder = profile_folder(own).ok_or_else(|| {
        LaneProgramError::Build("this program's own folder is unknown".to_owned())
    })?;
    let output = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "workloads",
            "--bins",
            "--profile",
            profile_of(folder),
        ])
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(wrong)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(LaneProgramError::Build(text.trim().to_owned()));
    }
    let built = folder.join(NAME);
    if built.is_file() {
        Ok(built)
    } else {
        Err(LaneProgramError::NotFound(own.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_program_that_is_no_file_is_an_error_that_names_it() {
        let error = check_named("/nonexistent/lane".into()).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/lane"), "{error}");
    }

    #[test]
    fn the_lane_program_is_found_beside_and_above_deps() {
        let dir = tempfile::tempdir().unwrap();
        let deps = dir.path().join("deps");
        std::fs::create_dir(&deps).unwrap();
        assert_eq!(beside(&deps.join("study-123")), None);
        let lane = dir.path().join(NAME);
        std::fs::write(&lane, "").unwrap();
        assert_eq!(beside(&deps.join("study-123")), Some(lane.clone()));
        assert_eq!(beside(&dir.path().join("threadbare")), Some(lane));
    }

    #[test]
    fn the_profile_is_read_off_the_folder_with_and_without_deps() {
        let folder = Path::new("/t/release");
        assert_eq!(
            profile_folder(Path::new("/t/release/threadbare")),
            Some(folder)
        );
        assert_eq!(
            profile_folder(Path::new("/t/release/deps/switch-1")),
            Some(folder)
        );
    }
}
