//! The rows of the table that are Go's: the same program in Go, built once.

use std::path::PathBuf;
use std::process::Command;

use super::{Answer, answer_of};

/// The built program; its folder goes when it is dropped.
pub(super) struct Program {
    folder: PathBuf,
    version: String,
}

impl Program {
    /// Builds it, or says why there is none.
    pub(super) fn build() -> Result<Self, String> {
        let go = std::env::var("THREADBARE_GO").unwrap_or_else(|_| "go".into());
        let output = Command::new(&go).arg("version").output();
        let output = output.map_err(|error| format!("{go}: {error}"))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let name = format!("bench-runtime-memory-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let program = Self { folder, version };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/memory/memory.go");
        let output = Command::new(&go)
            .args(["build", "-o"])
            .args([&program.path(), &PathBuf::from(source)])
            .output()
            .map_err(|error| format!("{go}: {error}"))?;
        match output.status.success() {
            true => Ok(program),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("memory")
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Parks `count` goroutines.
    pub(super) fn park(&self, count: usize) -> Result<Answer, String> {
        answer_of(Command::new(self.path()).arg(count.to_string()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A folder that stays in the temporary one does no harm.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
