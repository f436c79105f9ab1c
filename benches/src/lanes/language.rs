//! Languages of foreign lanes, and their toolchains.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lane_program;
use crate::say::say_after;

/// After this time a message names the running build.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A language with foreign lanes.
#[derive(Debug)]
pub struct Language {
    /// Its name, and the name of its folder under `workloads/foreign`.
    pub name: &'static str,
    /// The variable that names the toolchain's program.
    pub variable: &'static str,
    /// The toolchain's program on `PATH`.
    pub program: &'static str,
    /// The main file in its folder; without it the language has no lanes.
    pub entry: &'static str,
    /// How its program is built and started.
    pub start: Start,
    /// A command, or a page, that installs it.
    pub install: &'static str,
}

/// How a foreign program is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// `program ARGUMENTS… ENTRY --lane NAME`.
    Interpreted(&'static [&'static str]),
    /// `go build` once, then the binary.
    GoBuild,
    /// `javac` beside `java` once, then `java -cp CLASSES ENTRY-WITHOUT-SUFFIX`.
    JavaCompile,
}

pub(super) static GO: Language = Language {
    name: "go",
    variable: "THREADBARE_GO",
    program: "go",
    entry: "main.go",
    start: Start::GoBuild,
    install: "scripts/install-go.sh, or https://go.dev/doc/install",
};
pub(super) static JAVA: Language = Language {
    name: "java",
    variable: "THREADBARE_JAVA",
    program: "java",
    entry: "Lane.java",
    start: Start::JavaCompile,
    install: "apt-get install openjdk-21-jdk-headless, or scripts/install-java.sh beside a javac",
};
pub(super) static PYTHON: Language = Language {
    name: "python",
    variable: "THREADBARE_PYTHON",
    program: "python3",
    entry: "lane.py",
    start: Start::Interpreted(&["-I", "-B"]),
    install: "apt-get install python3",
};
pub(super) static NODE: Language = Language {
    name: "node",
    variable: "THREADBARE_NODE",
    program: "node",
    entry: "lane.mjs",
    start: Start::Interpreted(&[]),
    install: "apt-get install nodejs",
};
pub(super) static PHP: Language = Language {
    name: "php",
    variable: "THREADBARE_PHP",
    program: "php",
    entry: "lane.php",
    start: Start::Interpreted(&["-d", "memory_limit=-1"]),
    install: "apt-get install php-cli",
};

/// Why a foreign lane cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// The toolchain is not installed.
    #[error("{language} is not installed: {install}; or name it in {variable}")]
    Toolchain {
        /// The language.
        language: &'static str,
        /// A command, or a page, that installs it.
        install: &'static str,
        /// The variable that names the toolchain.
        variable: &'static str,
    },
    /// The toolchain is installed, but this suite has no program for the lane.
    #[error("{0} is no file: this suite has no program for that lane here")]
    Program(String),
    /// The program could not be built.
    #[error("{language} could not build its lane program: {message}")]
    Build {
        /// The language.
        language: &'static str,
        /// The toolchain's message.
        message: String,
    },
}

impl Language {
    /// The toolchain's program: the one that the variable names; else the one on `PATH`, or the one
    /// that this project's scripts have installed.
    ///
    /// # Errors
    ///
    /// [`Missing::Toolchain`] with a line that installs it.
    pub fn toolchain(&self) -> Result<PathBuf, Missing> {
        let found = match env::var_os(self.variable) {
            Some(named) => on_path(Path::new(&named)),
            None => on_path(Path::new(self.program)).or_else(|| {
                let own = lane_program::workspace().join("target/toolchains");
                on_path(&own.join(self.name).join("bin").join(self.program))
            }),
        };
        found.ok_or(Missing::Toolchain {
            language: self.name,
            install: self.install,
            variable: self.variable,
        })
    }

    pub(super) fn build(
        &self,
        folder: &Path,
        target: &Path,
        compiler: &Path,
        arguments: &[OsString],
    ) -> Result<(), Missing> {
        let wrong = |message: String| Missing::Build {
            language: self.name,
            message,
        };
        std::fs::create_dir_all(target)
            .map_err(|error| wrong(format!("{}: {error}", target.display())))?;
        // The reminder is dropped when this function returns, before a build's failure is printed.
        let _reminder = say_after(
            TIMEOUT,
            format!(
                "still building the lane program of {}: {}",
                self.name,
                compiler.display()
            ),
        );
        let output = Command::new(compiler)
            .args(arguments)
            .current_dir(folder)
            // With this, a Go that is too old fails and does not download another version.
            .env("GOTOOLCHAIN", "local")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| wrong(format!("{}: {error}", compiler.display())))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        Err(wrong(text.trim().chars().take(600).collect()))
    }
}

/// `program` itself if its name has a folder, else its place on `PATH`.
pub(crate) fn on_path(program: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;

    let is_program = |path: &Path| {
        path.metadata()
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return is_program(program).then(|| program.to_owned());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| is_program(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_toolchain_is_named_with_its_install_line() {
        let language = Language {
            program: "no-such-language-7",
            variable: "THREADBARE_NO_SUCH",
            ..GO
        };
        let message = language.toolchain().unwrap_err().to_string();
        assert!(
            message.contains("install-go.sh") && message.contains("THREADBARE_NO_SUCH"),
            "{message}"
        );
    }

    #[test]
    fn failed_build_shows_the_toolchains_message() {
        let dir = tempfile::tempdir().unwrap();
        let error = GO
            .build(
                dir.path(),
                dir.path(),
                Path::new("/bin/sh"),
                &["-c".into(), "echo no luck >&2; exit 2".into()],
            )
            .unwrap_err();
        assert_eq!(
            error,
            Missing::Build {
                language: "go",
                message: "no luck".into()
            }
        );
    }
}
