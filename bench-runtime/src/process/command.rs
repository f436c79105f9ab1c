use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use super::child::Child;
use super::ended::Ended;
use super::handle::{self, Ending};
use crate::context::Context;
use crate::seam;
use crate::signal::Signal;

/// A program to start as a child process: a wrapper of [`std::process::Command`].
///
/// # Examples
///
/// ```
/// use bench_runtime::process::{Command, Stdio};
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// let mut child = Command::new("tr")
///     .args(["a-z", "A-Z"])
///     .stdin(Stdio::piped())
///     .stdout(Stdio::piped())
///     .spawn()?;
/// child.stdin.take().unwrap().write_all(b"quiet")?;
/// let mut loud = String::new();
/// child.stdout.take().unwrap().read_to_string(&mut loud)?;
/// assert_eq!(loud, "QUIET");
/// assert!(child.wait()?.success());
/// # Ok(())
/// # }
/// ```
///
/// This passes the output of one child to a second child, which expects a pipe that blocks. So the
/// pipe is converted to std's type:
///
/// ```
/// use bench_runtime::process::{Command, Stdio};
///
/// # fn main() -> std::io::Result<()> {
/// let mut names = Command::new("printf").arg("b\\na\\n").stdout(Stdio::piped()).spawn()?;
/// let from = std::io::PipeReader::try_from(names.stdout.take().unwrap())?;
/// let sorted = Command::new("sort").stdin(from).output()?;
/// assert_eq!(sorted.stdout, b"a\nb\n");
/// names.wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Command {
    inner: std::process::Command,
    /// For each of the three streams, whether a method of this type has set it.
    stdin: bool,
    stdout: bool,
    stderr: bool,
    context: Option<Context>,
    ending: Ending,
}

impl Command {
    /// A command that runs `program`, which is searched for in `PATH` if it contains no slash.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// assert!(Command::new("true").status()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            inner: std::process::Command::new(program),
            stdin: false,
            stdout: false,
            stderr: false,
            context: None,
            ending: Ending::default(),
        }
    }

    /// Adds one argument.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// let output = Command::new("echo").arg("-n").arg("a b").output()?;
    /// assert_eq!(output.stdout, b"a b");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.inner.arg(arg);
        self
    }

    /// Adds several arguments.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// let output = Command::new("echo").args(["a", "b"]).output()?;
    /// assert_eq!(output.stdout, b"a b\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.inner.args(args);
        self
    }

    /// Sets a variable of the child's environment.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// let output = Command::new("sh").args(["-c", "echo $WHO"]).env("WHO", "ada").output()?;
    /// assert_eq!(output.stdout, b"ada\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env(key, value);
        self
    }

    /// Sets several variables of the child's environment.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// let both = [("A", "1"), ("B", "2")];
    /// let output = Command::new("sh").args(["-c", "echo $A$B"]).envs(both).output()?;
    /// assert_eq!(output.stdout, b"12\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        self.inner.envs(vars);
        self
    }

    /// Removes a variable from the child's environment.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// let output = Command::new("sh").args(["-c", "echo \"<$HOME>\""]).env_remove("HOME").output()?;
    /// assert_eq!(output.stdout, b"<>\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env_remove(key);
        self
    }

    /// Clears the child's environment, which then has only variables that are set later.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// let output = Command::new("/usr/bin/env").env_clear().env("ONE", "1").output()?;
    /// assert_eq!(output.stdout, b"ONE=1\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn env_clear(&mut self) -> &mut Self {
        self.inner.env_clear();
        self
    }

    /// Sets the folder in which the child starts.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// assert_eq!(Command::new("pwd").current_dir("/").output()?.stdout, b"/\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.inner.current_dir(dir);
        self
    }

    /// Sets the child's standard input. The default is this process's; for [`output`](Self::output)
    /// it is empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::{Command, Stdio};
    ///
    /// assert!(Command::new("cat").stdin(Stdio::null()).status()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stdin(&mut self, from: impl Into<Stdio>) -> &mut Self {
        self.inner.stdin(from);
        self.stdin = true;
        self
    }

    /// Sets the child's standard output. The default is this process's; for
    /// [`output`](Self::output) it is a pipe.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::{Command, Stdio};
    ///
    /// assert!(Command::new("ls").stdout(Stdio::null()).status()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stdout(&mut self, to: impl Into<Stdio>) -> &mut Self {
        self.inner.stdout(to);
        self.stdout = true;
        self
    }

    /// Sets the child's standard error; the default is as for [`stdout`](Self::stdout).
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::{Command, Stdio};
    ///
    /// let output = Command::new("ls").arg("/nowhere").stderr(Stdio::null()).output()?;
    /// assert!(!output.status.success() && output.stderr.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stderr(&mut self, to: impl Into<Stdio>) -> &mut Self {
        self.inner.stderr(to);
        self.stderr = true;
        self
    }

    /// Kills the child at the end of this context. Calls that wait for the child then fail with
    /// [`Ended`], which has the child's status and its output. If the child has ended by itself
    /// before, these calls return its status.
    ///
    /// [`grace`](Self::grace) sends the child a signal first, and kills it later.
    /// [`own_group`](Self::own_group) also kills the processes that the child has started. Without
    /// it, such processes may keep the pipes open: `output` and `wait_with_output` do not wait for
    /// them, but a read of a pipe that was taken out of the [`Child`] does. End such a read by
    /// [`set_deadline`](crate::net::PipeReader::set_deadline).
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::{Context, ContextError};
    /// use bench_runtime::process::{Command, Ended};
    /// use std::time::Duration;
    ///
    /// let (ctx, _cancel) = Context::background().with_timeout(Duration::from_millis(20));
    /// let late = Command::new("sleep").arg("1000").context(&ctx).status().unwrap_err();
    /// assert_eq!(late.kind(), std::io::ErrorKind::TimedOut);
    /// assert_eq!(late.downcast::<Ended>().unwrap().why, ContextError::DeadlineExceeded);
    /// ```
    pub fn context(&mut self, ctx: &Context) -> &mut Self {
        self.context = Some(ctx.clone());
        self
    }

    /// Sends this signal at the end of the [`context`](Self::context), and kills the child after
    /// `grace` if it has not ended by then, like Go's `Cmd.Cancel` and `Cmd.WaitDelay`. However the
    /// child then ends, waits fail with [`Ended`]. This has no effect without a context.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::context::Context;
    /// use bench_runtime::process::{Command, Ended};
    /// use bench_runtime::signal::Signal;
    /// use std::os::unix::process::ExitStatusExt;
    /// use std::time::Duration;
    ///
    /// let (ctx, cancel) = Context::background().with_cancel();
    /// let mut command = Command::new("sleep");
    /// command.arg("1000").context(&ctx).grace(Signal::TERM, Duration::from_secs(60));
    /// let mut child = command.spawn()?;
    /// cancel.cancel();
    /// let ended = child.wait().unwrap_err().downcast::<Ended>().unwrap();
    /// assert_eq!(ended.status.unwrap().signal(), Some(Signal::TERM.as_raw()));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "Cancel")]
    #[doc(alias = "WaitDelay")]
    pub fn grace(&mut self, signal: Signal, grace: Duration) -> &mut Self {
        self.ending.grace = Some((signal, grace));
        self
    }

    /// Starts the child in a process group of its own. Signals from its context, [`Child::kill`]
    /// and [`Child::signal`] go to the whole group, and also to a child that has left it. Once the
    /// end of the context has ended the child, the rest of the group is killed.
    ///
    /// A terminal sends Ctrl-C only to its foreground group, so not to this group. The group's
    /// number is the child's: do not set another by std's `process_group`.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::{Command, Stdio};
    /// use std::io::Read;
    ///
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "sleep 1000 & wait"]).own_group().stdout(Stdio::piped());
    /// let mut child = command.spawn()?;
    /// let mut stdout = child.stdout.take().unwrap();
    /// child.kill()?;
    /// // The pipe ends when `sh` and `sleep` have both ended.
    /// assert_eq!(stdout.read(&mut [0])?, 0);
    /// child.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "process_group")]
    #[doc(alias = "Setpgid")]
    pub fn own_group(&mut self) -> &mut Self {
        self.inner.process_group(0);
        self.ending.own_group = true;
        self
    }

    /// std's command, for methods that are missing here: the getters, and those of
    /// [`std::os::unix::process::CommandExt`]. Set the three streams by methods of this type,
    /// because [`output`](Self::output) checks which of them were called.
    ///
    /// A child that has set `PR_SET_PDEATHSIG` gets the signal when the thread that has started it
    /// ends. That thread may end before this process does.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    /// use std::os::unix::process::CommandExt;
    ///
    /// let mut command = Command::new("sh");
    /// command.args(["-c", "echo $0"]).as_std_mut().arg0("another name");
    /// assert_eq!(command.output()?.stdout, b"another name\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.inner
    }

    /// Starts the child. Blocks the goroutine until the child runs the program.
    ///
    /// # Errors
    ///
    /// If there is no such program, or no resources for a process or its pipes; [`Ended`] if the
    /// context has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// let mut child = Command::new("true").spawn()?;
    /// println!("process {}", child.id());
    /// child.wait()?;
    /// let none = Command::new("/no/such/program").spawn().unwrap_err();
    /// assert_eq!(none.kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn(&mut self) -> io::Result<Child> {
        if let Some(error) = self.context.as_ref().and_then(Context::err) {
            return Err(Ended::new(error, None).into());
        }
        handle::reap_orphans();
        let inner = &mut self.inner;
        let started = seam::blocking(|| inner.spawn())?;
        Child::new(started, self.context.clone(), self.ending)
    }

    /// Starts the child and waits for its end. Blocks the goroutine.
    ///
    /// # Errors
    ///
    /// The errors of [`spawn`](Self::spawn) and of [`Child::wait`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// assert_eq!(Command::new("sh").args(["-c", "exit 3"]).status()?.code(), Some(3));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Starts the child, waits for its end, and returns its output. Blocks the
    /// goroutine. The streams that were not set are piped, and stdin is empty.
    ///
    /// # Errors
    ///
    /// The errors of [`spawn`](Self::spawn) and of [`Child::wait_with_output`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::process::Command;
    ///
    /// let output = Command::new("sh").args(["-c", "echo out; echo err >&2; exit 1"]).output()?;
    /// assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    /// assert_eq!(output.status.code(), Some(1));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn output(&mut self) -> io::Result<Output> {
        if !self.stdin {
            self.inner.stdin(Stdio::null());
        }
        if !self.stdout {
            self.inner.stdout(Stdio::piped());
        }
        if !self.stderr {
            self.inner.stderr(Stdio::piped());
        }
        let child = self.spawn();
        // The defaults again, because the command may be started again.
        if !self.stdin {
            self.inner.stdin(Stdio::inherit());
        }
        if !self.stdout {
            self.inner.stdout(Stdio::inherit());
        }
        if !self.stderr {
            self.inner.stderr(Stdio::inherit());
        }
        child?.wait_with_output()
    }
}
