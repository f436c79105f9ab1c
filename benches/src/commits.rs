//! Lane programs of other commits: each is built once, in a separate worktree, and kept.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) use reports::run::short_commit as short;
use workloads::lane::Program;

use crate::say::say;

const FOLDER: &str = "target/commits";

/// Why there is no program of a commit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// A git command failed.
    #[error("git {command}: {message}")]
    Git { command: String, message: String },
    /// Another process builds commits of this repository.
    #[error("another process builds commits in {}: wait until it has ended", .0.display())]
    Busy(PathBuf),
    /// The commit does not build.
    #[error("the commit {commit} does not build: {message}")]
    Build { commit: String, message: String },
    /// A system call failed.
    #[error("{what}: {error}")]
    Host { what: String, error: io::Error },
}

fn host_error(what: String) -> impl FnOnce(io::Error) -> CommitError {
    |error| CommitError::Host { what, error }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Recipe {
    /// The command for `sh`, which runs at the top of the commit's tree.
    pub(crate) build: String,
    /// The lane program of the build, below that tree.
    pub(crate) program: PathBuf,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            build: "cargo build --release --quiet --package workloads --bins".to_owned(),
            program: PathBuf::from("target/release").join(Program::Plain.file_name()),
        }
    }
}

impl Recipe {
    /// The default recipe, with another release of a library than `Cargo.toml` names.
    pub(crate) fn with_release(library: &str, release: &str) -> Self {
        let own = Self::default();
        let ask = format!(r#"s/^({library} = (\{{ version = )?")[^"]*/\1={release}/"#);
        // The locked version of a dependent may require a newer release. Then cargo chooses other
        // versions of the dependents.
        let resolve = "cargo metadata --quiet --format-version 1 >/dev/null 2>&1";
        let dependents = dependents(library);
        Self {
            build: format!(
                "sed -i -E '{ask}' Cargo.toml && {{ {resolve} || cargo update --quiet $({dependents}); }} && {}",
                own.build
            ),
            ..own
        }
    }

    fn kept_folder(&self, commit: &str) -> String {
        if *self == Self::default() {
            return commit.to_owned();
        }
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        format!("{commit}-{:016x}", hasher.finish())
    }
}

fn dependents(library: &str) -> String {
    format!(
        r#"awk -v RS= '/\nsource = / && /\n "{library}[ "]/ {{ split($0, part, "\""); print part[2] "@" part[4] }}' Cargo.lock"#
    )
}

/// The commits of a repository, checked out in turn in one worktree. Dropping it removes the
/// worktree.
#[derive(Debug)]
pub(crate) struct Commits {
    repository: PathBuf,
    recipe: Recipe,
    /// Only one process may use the worktree.
    _claim: File,
}

impl Commits {
    pub(crate) fn of(repository: &Path, recipe: Recipe) -> Result<Self, CommitError> {
        let top = git(repository, ["rev-parse", "--show-toplevel"])?;
        let repository = PathBuf::from(top);
        let folder = repository.join(FOLDER);
        std::fs::create_dir_all(&folder).map_err(host_error(format!(
            "making the folder {}",
            folder.display()
        )))?;
        let lock = folder.join("lock");
        let claim = File::create(&lock)
            .map_err(host_error(format!("making the file {}", lock.display())))?;
        // If the file system has no locks, nothing is locked, as for a result file.
        if let Err(TryLockError::WouldBlock) = claim.try_lock() {
            return Err(CommitError::Busy(folder));
        }
        let commits = Self {
            repository,
            recipe,
            _claim: claim,
        };
        // A process that was killed may have left its worktree.
        commits.remove_tree();
        let tree = commits.tree();
        let add = ["worktree", "add", "--quiet", "--force", "--detach"].map(OsStr::new);
        git(
            &commits.repository,
            add.into_iter().chain([tree.as_os_str()]),
        )?;
        Ok(commits)
    }

    fn folder(&self) -> PathBuf {
        self.repository.join(FOLDER)
    }

    #[must_use]
    pub(crate) fn tree(&self) -> PathBuf {
        self.folder().join("tree")
    }

    pub(crate) fn find(&self, name: &str) -> Result<String, CommitError> {
        let commit = format!("{name}^{{commit}}");
        git(
            &self.repository,
            ["rev-parse", "--verify", "--end-of-options", &commit],
        )
    }

    pub(crate) fn git<'a>(
        &self,
        words: impl IntoIterator<Item = &'a str>,
    ) -> Result<String, CommitError> {
        git(&self.tree(), words)
    }

    /// The lane program of `commit`, a full hash; the one with mimalloc is in the same folder.
    /// Blocks the thread for the build the first time.
    pub(crate) fn program(&self, commit: &str) -> Result<PathBuf, CommitError> {
        let kept_folder = self.folder().join(self.recipe.kept_folder(commit));
        let name = self.recipe.program.file_name().unwrap_or_default();
        let program = kept_folder.join(name);
        if program.is_file() {
            return Ok(program);
        }
        self.git(["checkout", "--quiet", "--force", "--detach", commit])?;
        self.clean()?;
        let roots = [self.tree(), self.folder().join("build")];
        let built = roots.map(|root| root.join(&self.recipe.program));
        // The builds of all commits share a folder. Programs of earlier builds are removed, so none
        // of them is taken for a program of this commit.
        for path in built.iter().flat_map(|path| [path.clone(), twin_of(path)]) {
            remove_if_there(&path).map_err(host_error(format!("removing {}", path.display())))?;
        }
        say(format!("building {commit}: {}", self.recipe.build));
        let output = Command::new("sh")
            .args(["-c", &self.recipe.build])
            .current_dir(self.tree())
            // One folder for all commits, so that only changed code is compiled again.
            .env("CARGO_TARGET_DIR", self.folder().join("build/target"))
            .stdin(Stdio::null())
            .output()
            .map_err(host_error("starting sh".to_owned()))?;
        let failed = |message: String| CommitError::Build {
            commit: commit.to_owned(),
            message,
        };
        if !output.status.success() {
            return Err(failed(last_lines(&output.stderr)));
        }
        let built = built
            .iter()
            .find(|path| path.is_file())
            .ok_or_else(|| failed(format!("it leaves no {}", self.recipe.program.display())))?;
        keep(built, &kept_folder).map_err(host_error(format!("copying {}", built.display())))?;
        self.clean()?;
        Ok(program)
    }

    fn clean(&self) -> Result<(), CommitError> {
        self.git(["reset", "--quiet", "--hard"])?;
        self.git(["clean", "--quiet", "-fdx"])?;
        Ok(())
    }

    fn remove_tree(&self) {
        let words = ["worktree", "remove", "--force"].map(OsStr::new);
        let tree = self.tree();
        if tree.exists() {
            // A tree that stays is removed at the next start.
            let _ = git(
                &self.repository,
                words.into_iter().chain([tree.as_os_str()]),
            );
        }
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        self.remove_tree();
    }
}

/// Copies a lane program and the one with mimalloc.
fn keep(built: &Path, folder: &Path) -> io::Result<()> {
    let partial = folder.with_extension("half");
    std::fs::create_dir_all(&partial)?;
    for program in [built, &twin_of(built)]
        .into_iter()
        .filter(|path| path.is_file())
    {
        std::fs::copy(
            program,
            partial.join(program.file_name().unwrap_or_default()),
        )?;
    }
    std::fs::rename(partial, folder)
}

/// The lane program with mimalloc beside this one.
fn twin_of(program: &Path) -> PathBuf {
    program.with_file_name(Program::Mimalloc.file_name())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

fn git(
    folder: &Path,
    words: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<String, CommitError> {
    let words: Vec<_> = words
        .into_iter()
        .map(|word| word.as_ref().to_owned())
        .collect();
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(&words)
        // Git's messages are searched for English words.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(host_error("starting git".to_owned()))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let words = words.iter().map(|word| word.to_string_lossy());
    Err(CommitError::Git {
        command: words.collect::<Vec<_>>().join(" "),
        message: [text(&output.stdout), text(&output.stderr)]
            .join("\n")
            .trim()
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane_program;

    #[test]
    fn each_library_is_asked_for_once_in_another_release() {
        let sources =
            std::fs::read_to_string(lane_program::workspace().join("Cargo.toml")).unwrap();
        for library in ["tokio", "smol", "may", "rayon", "corosensei"] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("Cargo.toml");
            std::fs::write(&file, &sources).unwrap();
            let build = Recipe::with_release(library, "1.2").build;
            let ask = build.split(" && ").next().unwrap();
            let done = Command::new("sh")
                .args(["-c", ask])
                .current_dir(&folder)
                .status();
            assert!(done.unwrap().success(), "{ask}");
            let changed = std::fs::read_to_string(&file).unwrap();
            let lines = sources.lines().zip(changed.lines());
            let found: Vec<&str> = lines.filter(|(a, b)| a != b).map(|(_, b)| b).collect();
            assert!(
                matches!(found[..], [line] if line.starts_with(library) && line.contains("\"=1.2\"")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn locked_dependents_of_a_library_are_listed() {
        let listed = |library: &str| {
            let output = Command::new("sh")
                .args(["-c", &dependents(library)])
                .current_dir(lane_program::workspace())
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let found = listed("tokio");
        let names = found
            .lines()
            .filter_map(|line| Some(line.split_once('@')?.0));
        let names: Vec<&str> = names.collect();
        assert!(
            names.contains(&"tokio-util") && names.contains(&"hyper-util"),
            "{found}"
        );
        // Neither packages of this workspace nor the library itself are dependents.
        assert!(
            !names.contains(&"workloads") && !names.contains(&"tokio"),
            "{found}"
        );
        assert_eq!(listed("corosensei"), "");
    }

    #[test]
    fn build_that_makes_no_program_gets_none_of_an_earlier_commit() {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path();
        git(repository, ["init", "--quiet"]).unwrap();
        let commit = |build: &str| {
            std::fs::write(repository.join("build.sh"), build).unwrap();
            git(repository, ["add", "build.sh"]).unwrap();
            let own = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
            let words = ["commit", "--quiet", "--message", "a change"];
            git(repository, own.into_iter().chain(words)).unwrap();
            git(repository, ["rev-parse", "HEAD"]).unwrap()
        };
        let twin = Program::Mimalloc.file_name();
        let both = commit(&format!(
            "cd $CARGO_TARGET_DIR && echo both | tee {twin} > lane"
        ));
        let [none, one] = ["", "cd $CARGO_TARGET_DIR && echo one > lane"].map(commit);
        let recipe = Recipe {
            build: "mkdir -p $CARGO_TARGET_DIR && sh build.sh".to_owned(),
            program: "target/lane".into(),
        };
        let commits = Commits::of(repository, recipe).unwrap();
        let program = commits.program(&both).unwrap();
        assert_eq!(std::fs::read_to_string(&program).unwrap(), "both\n");
        assert!(twin_of(&program).is_file());
        let built = commits.program(&none);
        assert!(
            matches!(&built, Err(CommitError::Build { message, .. }) if message.contains("it leaves no")),
            "{built:?}"
        );
        let program = commits.program(&one).unwrap();
        assert_eq!(std::fs::read_to_string(&program).unwrap(), "one\n");
        assert!(!twin_of(&program).exists());
    }

    #[test]
    fn two_recipes_of_a_commit_are_kept_apart() {
        let [own, other] = [Recipe::default(), Recipe::with_release("tokio", "1.2")];
        assert_eq!(own.kept_folder("abc"), "abc");
        assert_ne!(other.kept_folder("abc"), "abc");
        assert_ne!(
            other.kept_folder("abc"),
            Recipe::with_release("smol", "1.2").kept_folder("abc")
        );
    }
}
