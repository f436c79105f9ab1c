//! The children of a process. Those that start or end meanwhile may be missing.

use std::fs;
use std::path::Path;

/// The children of `parent`.
#[must_use]
pub fn children(parent: u32) -> Vec<u32> {
    Source::find().children(parent)
}

/// The children of `process`, their children, and so on.
#[must_use]
pub fn descendants(process: u32) -> Vec<u32> {
    Source::find().descendants(process)
}

enum Source {
    /// The kernel lists the children of each thread.
    Lists,
    /// The kernel has no lists, so all processes were read: each with its parent.
    Search(Vec<(u32, u32)>),
}

impl Source {
    fn find() -> Self {
        match Path::new("/proc/thread-self/children").exists() {
            true => Self::Lists,
            false => Self::search(),
        }
    }

    fn search() -> Self {
        let read = |entry: fs::DirEntry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name, which may contain any character: the state and the parent.
            let (_, rest) = stat.rsplit_once(") ")?;
            Some((process, rest.split(' ').nth(1)?.parse().ok()?))
        };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        Self::Search(entries.filter_map(read).collect())
    }

    fn children(&self, parent: u32) -> Vec<u32> {
        match self {
            Self::Lists => {
                let threads = fs::read_dir(format!("/proc/{parent}/task"));
                let threads = threads.into_iter().flatten().flatten();
                let lists =
                    threads.filter_map(|it| fs::read_to_string(it.path().join("children")).ok());
                let numbers = lists.collect::<String>();
                let words = numbers.split_whitespace();
                words.filter_map(|word| word.parse().ok()).collect()
            }
            Self::Search(all) => {
                let own = all.iter().filter(|(_, of)| *of == parent);
                own.map(|(process, _)| *process).collect()
            }
        }
    }

    fn descendants(&self, process: u32) -> Vec<u32> {
        let (mut found, mut read) = (self.children(process), 0);
        while let Some(&next) = found.get(read) {
            found.extend(self.children(next));
            read += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn children_are_the_same_by_the_kernels_lists_and_by_a_search() {
        // `sh` has two children, which end with its input. Without 3, theirs would be `/dev/null`.
        let mut shell = Command::new("sh")
            .args(["-c", "exec 3<&0; cat <&3 & (cat <&3; :) & echo; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = shell.stdout.take().unwrap();
        output.read_exact(&mut [0]).unwrap();
        let own = std::process::id();
        for source in [Source::Lists, Source::search()] {
            assert!(source.children(own).contains(&shell.id()));
            let children = source.children(shell.id());
            assert_eq!(children.len(), 2);
            assert!(source.descendants(own).contains(&children[1]));
        }
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(!Source::search().children(own).contains(&shell.id()));
        assert!(Source::Lists.children(shell.id()).is_empty());
    }
}
