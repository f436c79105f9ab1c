//! How to start each lane.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::thread;

use workloads::lane::Program;

use super::LaneEntry;
use super::language::{Language, Missing, Start, on_path};
use crate::lane_process::LaneCommand;
use crate::lane_program;

/// Without these options a JVM writes its warnings to stdout, which carries the protocol.
const JAVA_LOG: [&str; 2] = ["-Xlog:disable", "-Xlog:all=warning:stderr"];

/// The programs and folders from which lanes are started.
#[derive(Clone, Debug)]
pub struct Toolbox {
    /// The lane program, which is also the load generator.
    pub lane_program: PathBuf,
    /// The folder `workloads/foreign`.
    pub foreign: PathBuf,
    /// The folder in which foreign programs are built.
    pub build: PathBuf,
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

    /// The command that starts `lane`. The first call for a language builds its program.
    ///
    /// # Errors
    ///
    /// [`Missing`] names what is missing and how to get it.
    pub fn command(&self, lane: &LaneEntry) -> Result<LaneCommand, Missing> {
        match lane.foreign {
            None => self.command_of_base(lane, &self.lane_program),
            Some(language) => {
                let command = self.foreign_command(language, language.toolchain()?, "", lane)?;
                Ok(self.with_load_generator(command))
            }
        }
    }

    /// The command that starts a lane in another language with this toolchain. The file name of a
    /// built Go program contains `version`, so versions do not overwrite each other.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command).
    pub fn command_of_toolchain(
        &self,
        lane: &LaneEntry,
        toolchain: &Path,
        version: &str,
    ) -> Result<LaneCommand, Missing> {
        let language = lane.foreign.filter(|_| toolchain.is_file());
        let language = language.ok_or_else(|| Missing::Program(toolchain.display().to_string()))?;
        let suffix = format!("-{version}");
        let command = self.foreign_command(language, toolchain.to_owned(), &suffix, lane)?;
        Ok(self.with_load_generator(command))
    }

    /// The command that starts a lane in Rust with the lane program `program`, perhaps of another
    /// build. The load generator is this build's.
    ///
    /// # Errors
    ///
    /// As [`command`](Self::command).
    pub fn command_of_base(
        &self,
        lane: &LaneEntry,
        program: &Path,
    ) -> Result<LaneCommand, Missing> {
        Ok(self.with_load_generator(LaneCommand {
            program: own_program(lane.name, program)?,
            arguments: vec!["--lane".into(), lane.name.into()],
            variables: Vec::new(),
        }))
    }

    fn with_load_generator(&self, mut command: LaneCommand) -> LaneCommand {
        let variable = ("THREADBARE_LOAD".into(), self.lane_program.clone().into());
        command.variables.push(variable);
        command
    }

    fn foreign_command(
        &self,
        language: &Language,
        toolchain: PathBuf,
        suffix: &str,
        lane: &LaneEntry,
    ) -> Result<LaneCommand, Missing> {
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
                let binary = self.build.join(format!("go-lane{suffix}"));
                language.build(
                    &folder,
                    &self.build,
                    &toolchain,
                    &[
                        "build".into(),
                        // Without this, Go calls git, which may refuse the folder.
                        "-buildvcs=false".into(),
                        "-o".into(),
                        binary.clone().into(),
                        ".".into(),
                    ],
                )?;
                (binary, Vec::new())
            }
            Start::JavaCompile => {
                // A Java without a compiler can run classes that another Java compiled.
                let beside = toolchain.with_file_name("javac");
                let compiler = on_path(&beside).or_else(|| on_path(Path::new("javac")));
                let compiler = compiler.unwrap_or(beside);
                let sources = sources(&folder, "java");
                // A running lane may still read the classes of an older version, so each version of
                // compiler and sources has its own folder.
                let version = version(&compiler, &sources);
                let classes = self.build.join(format!("java-{version:016x}"));
                if !classes.is_dir() {
                    // Each thread compiles into its own folder.
                    let own = format!("java-{}-{:?}", std::process::id(), thread::current().id());
                    let fresh = self.build.join(own);
                    let mut arguments = vec!["-d".into(), fresh.clone().into()];
                    arguments.extend(sources.into_iter().map(PathBuf::into_os_string));
                    language.build(&folder, &fresh, &compiler, &arguments)?;
                    // The rename fails if another process was faster.
                    if std::fs::rename(&fresh, &classes).is_err() {
                        let _ = std::fs::remove_dir_all(&fresh);
                    }
                }
                let class = entry.file_stem().unwrap_or_default().to_owned();
                let mut arguments: Vec<_> = JAVA_LOG.iter().map(OsString::from).collect();
                arguments.extend(["-cp".into(), classes.into(), class]);
                (toolchain, arguments)
            }
        };
        arguments.extend(["--lane".into(), lane.name.into()]);
        Ok(LaneCommand {
            program,
            arguments,
            variables: Vec::new(),
        })
    }
}

/// The program that has `lane`: `plain`, or the program with mimalloc in the same folder.
fn own_program(lane: &str, plain: &Path) -> Result<PathBuf, Missing> {
    let program = match workloads::lanes::find(lane).map(|entry| entry.program) {
        None | Some(Program::Plain) => return Ok(plain.to_owned()),
        Some(other) => plain.with_file_name(other.file_name()),
    };
    if program.is_file() {
        Ok(program)
    } else {
        Err(Missing::Program(program.display().to_string()))
    }
}

fn version(compiler: &Path, sources: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    compiler.canonicalize().ok().hash(&mut hasher);
    for source in sources {
        std::fs::read(source).ok().hash(&mut hasher);
    }
    hasher.finish()
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

#[cfg(test)]
mod tests {
    use super::super::language::NODE;
    use super::*;

    fn toolbox(root: &Path) -> Toolbox {
        Toolbox {
            lane_program: root.join("threadbare-lane"),
            foreign: root.join("foreign"),
            build: root.join("build"),
        }
    }

    #[test]
    fn every_lane_gets_its_name_and_the_load_generator() {
        let dir = tempfile::tempdir().unwrap();
        let command = toolbox(dir.path())
            .command(&crate::lanes::find("thread").unwrap())
            .unwrap();
        assert_eq!(command.arguments, ["--lane", "thread"]);
        let load = (
            OsString::from("THREADBARE_LOAD"),
            command.program.clone().into(),
        );
        assert_eq!(command.variables, [load]);
    }

    fn go() -> LaneEntry {
        crate::lanes::find("go").unwrap()
    }

    #[test]
    fn a_language_without_a_program_here_says_which_file_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let shell = Language {
            name: "shell",
            program: "sh",
            entry: "lane.sh",
            variable: "THREADBARE_NO_SUCH",
            ..NODE
        };
        let error = toolbox(dir.path())
            .foreign_command(&shell, "/bin/sh".into(), "", &go())
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
            ..NODE
        };
        let entry = dir.path().join("foreign/shell/lane.sh");
        std::fs::create_dir_all(entry.parent().unwrap()).unwrap();
        std::fs::write(&entry, "").unwrap();
        let command = toolbox(dir.path())
            .foreign_command(&shell, "/bin/sh".into(), "", &go())
            .unwrap();
        assert_eq!(
            command.arguments,
            [
                OsString::from("-u"),
                entry.into(),
                "--lane".into(),
                "go".into()
            ]
        );
        assert_eq!(command.program.file_name().unwrap(), "sh");
    }
}
