//! Every lane by name: what it is, how it is started, and what it needs.
//!
//! Lanes in Rust are run by the lane program; foreign lanes by a program under
//! `workloads/foreign/<language>/`, which gets `--lane NAME` too. A foreign
//! toolchain is looked for on `PATH`; a variable names another one.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::lane_process::LaneCommand;
use crate::lane_program;

/// One lane, whether or not it can be run here.
#[derive(Debug)]
pub struct LaneEntry {
    /// The stable name.
    pub name: &'static str,
    /// What one of its tasks is called in a sentence.
    pub noun: &'static str,
    /// The lane that it is a variant of.
    pub variant_of: Option<&'static str>,
    /// What distinguishes it.
    pub remark: &'static str,
    /// The language of a foreign lane.
    pub foreign: Option<&'static Language>,
}

/// A language with foreign lanes.
#[derive(Debug)]
pub struct Language {
    /// Its name, and that of its folder under `workloads/foreign`.
    pub name: &'static str,
    /// The variable that names the toolchain's program.
    pub variable: &'static str,
    /// The toolchain's program on `PATH`.
    pub program: &'static str,
    /// The file in its folder without which there are no lanes.
    pub entry: &'static str,
    /// How its program is made and started.
    pub start: Start,
    /// A line that installs it.
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

static GO: Language = Language {
    name: "go",
    variable: "THREADBARE_GO",
    program: "go",
    entry: "main.go",
    start: Start::GoBuild,
    install: "scripts/install-go.sh, or https://go.dev/doc/install",
};
static JAVA: Language = Language {
    name: "java",
    variable: "THREADBARE_JAVA",
    program: "java",
    entry: "Lane.java",
    start: Start::JavaCompile,
    install: "apt-get install openjdk-21-jdk-headless",
};
static PYTHON: Language = Language {
    name: "python",
    variable: "THREADBARE_PYTHON",
    program: "python3",
    entry: "lane.py",
    start: Start::Interpreted(&["-I", "-B"]),
    install: "apt-get install python3",
};
static NODE: Language = Language {
    name: "node",
    variable: "THREADBARE_NODE",
    program: "node",
    entry: "lane.mjs",
    start: Start::Interpreted(&[]),
    install: "apt-get install nodejs",
};
static PHP: Language = Language {
    name: "php",
    variable: "THREADBARE_PHP",
    program: "php",
    entry: "lane.php",
    start: Start::Interpreted(&["-d", "memory_limit=-1"]),
    install: "apt-get install php-cli",
};

const fn rust(name: &'static str, noun: &'static str, remark: &'static str) -> LaneEntry {
    LaneEntry {
        name,
        noun,
        variant_of: None,
        remark,
        foreign: None,
    }
}

const fn variant(
    name: &'static str,
    of: &'static str,
    noun: &'static str,
    remark: &'static str,
) -> LaneEntry {
    LaneEntry {
        name,
        noun,
        variant_of: Some(of),
        remark,
        foreign: None,
    }
}

const fn foreign(
    language: &'static Language,
    name: &'static str,
    noun: &'static str,
    remark: &'static str,
) -> LaneEntry {
    LaneEntry {
        name,
        noun,
        variant_of: None,
        remark,
        foreign: Some(language),
    }
}

/// All lanes, in the order in which a reader should meet them.
pub static LANES: &[LaneEntry] = &[
    rust(
        "goroutine",
        "goroutine",
        "this project's M:N runtime, growable stacks",
    ),
    rust("thread", "thread", "std::thread, the default stack"),
    rust("process", "process", "fork from a single-threaded process"),
    rust(
        "tokio",
        "tokio task",
        "tokio, multi-thread, a worker for each CPU",
    ),
    rust("rayon", "rayon task", "rayon, a worker for each CPU"),
    variant(
        "goroutine-migrating",
        "goroutine",
        "migrating goroutine",
        "goroutines may move between threads",
    ),
    variant(
        "goroutine-fixed8k",
        "goroutine",
        "8 KiB goroutine",
        "stacks of 8 KiB that do not grow",
    ),
    variant(
        "goroutine-compacted",
        "goroutine",
        "compacted goroutine",
        "parked stacks are moved together",
    ),
    variant(
        "thread-16k",
        "thread",
        "16 KiB thread",
        "std::thread with a stack of 16 KiB",
    ),
    variant(
        "thread-pool",
        "thread",
        "pooled thread",
        "a pool of threads with a queue",
    ),
    variant(
        "process-spawn",
        "process",
        "spawned process",
        "posix_spawn of a real program",
    ),
    variant(
        "process-pool",
        "process",
        "pooled process",
        "preforked processes over socket pairs",
    ),
    variant(
        "tokio-ct",
        "tokio",
        "single-threaded tokio task",
        "tokio, current-thread",
    ),
    variant(
        "rayon-join",
        "rayon",
        "rayon join",
        "rayon::join in place of a scope",
    ),
    foreign(&GO, "go", "Go goroutine", "the real Go"),
    foreign(&JAVA, "java-thread", "Java thread", "platform threads"),
    foreign(
        &JAVA,
        "java-virtual",
        "Java virtual thread",
        "virtual threads, from JDK 21",
    ),
    foreign(
        &PYTHON,
        "python-asyncio",
        "asyncio task",
        "CPython, one thread",
    ),
    foreign(
        &PYTHON,
        "python-thread",
        "Python thread",
        "CPython's threading",
    ),
    foreign(
        &PYTHON,
        "python-process",
        "Python process",
        "CPython's multiprocessing",
    ),
    foreign(&NODE, "node-async", "Node promise", "one thread"),
    foreign(&NODE, "node-worker", "Node worker", "worker_threads"),
    foreign(&PHP, "php-fork", "PHP process", "pcntl_fork"),
    foreign(&PHP, "php-fiber", "PHP fiber", "fibers, one thread"),
];

/// The lanes that run when none is named: one of each model, in Rust.
pub const DEFAULT_LANES: [&str; 5] = ["goroutine", "thread", "process", "tokio", "rayon"];

/// The entry of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static LaneEntry> {
    LANES.iter().find(|lane| lane.name == name)
}

/// What is needed to start lanes.
#[derive(Clone, Debug)]
pub struct Toolbox {
    /// The lane program, which is the load generator too.
    pub lane_program: PathBuf,
    /// The folder `workloads/foreign`.
    pub foreign: PathBuf,
    /// Where foreign programs are built.
    pub build: PathBuf,
}

/// Why a foreign lane cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// The toolchain is not there.
    #[error("{language} is not installed: {install}; or name it in {variable}")]
    Toolchain {
        /// The language.
        language: &'static str,
        /// A line that installs it.
        install: &'static str,
        /// The variable that names it.
        variable: &'static str,
    },
    /// The toolchain is there and this suite has no program for it.
    #[error("{0} is no file: this suite has no program for that language here")]
    Program(String),
    /// The program could not be built.
    #[error("{language} could not build its lane program: {message}")]
    Build {
        /// The language.
        language: &'static str,
        /// What the toolchain said.
        message: String,
    },
}

impl Toolbox {
    /// The toolbox of this source tree. May build the lane program.
    ///
    /// # Errors
    ///
    /// As [`lane_program::find`].
    pub fn find() -> Result<Self, lane_program::LaneProgramError> {
        let lane_program = lane_program::find()?;
        let workspace = lane_program::workspace();
        let build = lane_program.parent().unwrap_or(&workspace).join("foreign");
        Ok(Self {
            lane_program,
            foreign: workspace.join("workloads/foreign"),
            build,
        })
    }

    /// How to start `lane`. Builds a foreign program the first time.
    ///
    /// # Errors
    ///
    /// [`Missing`] says what is missing and how to get it.
    pub fn command(&self, lane: &LaneEntry) -> Result<LaneCommand, Missing> {
        let name = OsString::from(lane.name);
        let mut command = match lane.foreign {
            None => LaneCommand {
                program: self.lane_program.clone(),
                arguments: vec!["--lane".into(), name],
                variables: Vec::new(),
            },
            Some(language) => self.foreign_command(language, name)?,
        };
        command
            .variables
            .push(("THREADBARE_LOAD".into(), self.lane_program.clone().into()));
        Ok(command)
    }

    fn foreign_command(&self, language: &Language, lane: OsString) -> Result<LaneCommand, Missing> {
        let toolchain = language.toolchain()?;
        let folder = self.foreign.join(language.name);
        let entry = folder.join(language.entry);
        if !entry.is_file() {
            return Err(Missing::Program(format!(
                "workloads/foreign/{}/{}",
                language.name, language.entry
            )));
        }
        let (program, mut arguments) = match language.start {
            Start::Interpreted(arguments) => {
                let arguments = arguments.iter().map(OsString::from);
                (
                    toolchain,
                    arguments
                        .chain([entry.into_os_string()])
                        .collect::<Vec<_>>(),
                )
            }
            Start::GoBuild => {
                let binary = self.build.join("go-lane");
                language.build(
                    &folder,
                    &self.build,
                    &toolchain,
                    &[
                        "build".into(),
                        "-o".into(),
                        binary.clone().into(),
                        ".".into(),
                    ],
                )?;
                (binary, Vec::new())
            }
            Start::JavaCompile => {
                let classes = self.build.join("java");
                let compiler = toolchain.with_file_name("javac");
                let sources = sources(&folder, "java");
                let mut arguments = vec!["-d".into(), classes.clone().into()];
                arguments.extend(sources.into_iter().map(PathBuf::into_os_string));
                language.build(&folder, &classes, &compiler, &arguments)?;
                let class = entry.file_stem().unwrap_or_default().to_owned();
                (toolchain, vec!["-cp".into(), classes.into(), class])
            }
        };
        arguments.extend(["--lane".into(), lane]);
        Ok(LaneCommand {
            program,
            arguments,
            variables: Vec::new(),
        })
    }
}

impl Language {
    /// The toolchain's program.
    ///
    /// # Errors
    ///
    /// [`Missing::Toolchain`] with a line that installs it.
    pub fn toolchain(&self) -> Result<PathBuf, Missing> {
        let named = env::var_os(self.variable).map(PathBuf::from);
        let program = named.unwrap_or_else(|| self.program.into());
        on_path(&program).ok_or(Missing::Toolchain {
            language: self.name,
            install: self.install,
            variable: self.variable,
        })
    }

    fn build(
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
        let output = Command::new(compiler)
            .args(arguments)
            .current_dir(folder)
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

fn sources(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut sources: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|other| other == suffix))
        .collect();
    sources.sort();
    sources
}

/// `program` itself where it has a folder in its name, else its place on `PATH`.
fn on_path(program: &Path) -> Option<PathBuf> {
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

    fn toolbox(root: &Path) -> Toolbox {
        Toolbox {
            lane_program: root.join("threadbare-lane"),
            foreign: root.join("foreign"),
            build: root.join("build"),
        }
    }

    #[test]
    fn names_are_unique_and_variants_are_of_lanes_that_are_there() {
        let mut names = std::collections::BTreeSet::new();
        for lane in LANES {
            assert!(names.insert(lane.name), "{} is there twice", lane.name);
        }
        for lane in LANES {
            assert!(
                lane.variant_of.is_none_or(|of| names.contains(of)),
                "{}",
                lane.name
            );
        }
        assert!(DEFAULT_LANES.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn every_lane_is_told_its_name_and_where_the_load_generator_is() {
        let dir = tempfile::tempdir().unwrap();
        let command = toolbox(dir.path())
            .command(find("thread").unwrap())
            .unwrap();
        assert_eq!(command.arguments, ["--lane", "thread"]);
        let load = (
            OsString::from("THREADBARE_LOAD"),
            command.program.clone().into(),
        );
        assert_eq!(command.variables, [load]);
    }

    #[test]
    fn a_toolchain_that_is_not_there_is_told_with_its_install_line() {
        let language = Language {
            program: "no-such-language-7",
            variable: "THREADBARE_NO_SUCH",
            ..copy(&GO)
        };
        let message = language.toolchain().unwrap_err().to_string();
        assert!(
            message.contains("install-go.sh") && message.contains("THREADBARE_NO_SUCH"),
            "{message}"
        );
    }

    #[test]
    fn a_language_without_a_program_here_says_which_file_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let shell = Language {
            name: "shell",
            program: "sh",
            entry: "lane.sh",
            variable: "THREADBARE_NO_SUCH",
            ..copy(&NODE)
        };
        let error = toolbox(dir.path())
            .foreign_command(&shell, "x".into())
            .unwrap_err();
        assert_eq!(
            error,
            Missing::Program("workloads/foreign/shell/lane.sh".into())
        );
    }

    #[test]
    fn an_interpreted_lane_gets_its_entry_and_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let shell = Language {
            name: "shell",
            program: "sh",
            entry: "lane.sh",
            variable: "THREADBARE_NO_SUCH",
            start: Start::Interpreted(&["-u"]),
            ..copy(&NODE)
        };
        let entry = dir.path().join("foreign/shell/lane.sh");
        std::fs::create_dir_all(entry.parent().unwrap()).unwrap();
        std::fs::write(&entry, "").unwrap();
        let command = toolbox(dir.path())
            .foreign_command(&shell, "x".into())
            .unwrap();
        assert_eq!(
            command.arguments,
            [
                OsString::from("-u"),
                entry.into(),
                "--lane".into(),
                "x".into()
            ]
        );
        assert_eq!(command.program.file_name().unwrap(), "sh");
    }

    #[test]
    fn a_build_that_fails_tells_what_the_toolchain_said() {
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

    fn copy(language: &Language) -> Language {
        Language { ..*language }
    }
}
