//! Signals of the operating system, received from a channel. [`notify`] is Go's `signal.Notify`.
//!
//! ```
//! use bench_runtime::signal::{self, Signal};
//!
//! # fn main() -> std::io::Result<()> {
//! let signals = signal::notify(&[Signal::INT, Signal::TERM])?;
//! # std::process::Command::new("kill").arg(std::process::id().to_string()).status()?;
//! // Another process sends a signal.
//! assert_eq!(signals.recv(), Some(Signal::TERM));
//! # Ok(())
//! # }
//! ```

pub(crate) mod thread;

use std::fmt;
use std::io;
use std::ops::Deref;

use self::thread::{Listening, listen};
use crate::chan::{Receiver, RecvOperand, chan_of_each_once};
use crate::sched;
use crate::sys::notice;

/// A signal, by its number.
///
/// # Examples
///
/// ```
/// use bench_runtime::signal::Signal;
///
/// assert_eq!(Signal::TERM.to_string(), "SIGTERM");
/// assert_eq!(format!("{:?}", Some(Signal::INT)), "Some(SIGINT)");
/// assert_eq!(Signal::from_raw(15), Some(Signal::TERM));
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Signal(i32);

macro_rules! signals {
    ($($name:ident = $number:ident: $what:literal;)*) => {
        impl Signal {
            $(
                #[doc = $what]
                pub const $name: Self = Self(libc::$number);
            )*

            fn name(self) -> Option<&'static str> {
                $(
                    if self == Self::$name {
                        return Some(stringify!($number));
                    }
                )*
                None
            }
        }
    };
}

signals! {
    HUP = SIGHUP: "The terminal is gone; to many servers: read the configuration again.";
    INT = SIGINT: "Ctrl-C.";
    QUIT = SIGQUIT: "Ctrl-\\\\.";
    ILL = SIGILL: "The CPU knows no such instruction.";
    TRAP = SIGTRAP: "A breakpoint.";
    ABRT = SIGABRT: "The process gives itself up.";
    BUS = SIGBUS: "A mapped page has nothing behind it.";
    FPE = SIGFPE: "A division of integers that has no result.";
    KILL = SIGKILL: "The end, which cannot be caught.";
    USR1 = SIGUSR1: "For programs to use.";
    SEGV = SIGSEGV: "An access where nothing is mapped.";
    USR2 = SIGUSR2: "For programs to use.";
    PIPE = SIGPIPE: "A pipe or socket has nobody at its other end. Programs in Rust ignore it from their start.";
    ALRM = SIGALRM: "A timer of alarm(2).";
    TERM = SIGTERM: "A request to end, which `kill` sends.";
    CHLD = SIGCHLD: "A child has ended or stopped.";
    CONT = SIGCONT: "Go on after a stop.";
    STOP = SIGSTOP: "A stop, which cannot be caught.";
    TSTP = SIGTSTP: "Ctrl-Z.";
    TTIN = SIGTTIN: "A process in the background reads from its terminal.";
    TTOU = SIGTTOU: "A process in the background writes to its terminal.";
    URG = SIGURG: "Urgent data on a socket.";
    XCPU = SIGXCPU: "The limit of CPU time.";
    XFSZ = SIGXFSZ: "The limit of a file's size.";
    VTALRM = SIGVTALRM: "A timer of the process's CPU time.";
    PROF = SIGPROF: "A timer of a profiler.";
    WINCH = SIGWINCH: "The terminal has another size.";
    IO = SIGIO: "A descriptor is ready.";
    PWR = SIGPWR: "Power fails.";
    SYS = SIGSYS: "The system call is forbidden, or does not exist.";
}

impl Signal {
    /// The signal with this number; `None` if the number is not valid.
    ///
    /// # Examples
    ///
    /// ```
    /// use bench_runtime::signal::Signal;
    ///
    /// assert_eq!(Signal::from_raw(1), Some(Signal::HUP));
    /// assert_eq!(Signal::from_raw(0), None);
    /// // A real-time signal has a number and no name.
    /// assert_eq!(Signal::from_raw(40).unwrap().to_string(), "signal 40");
    /// ```
    #[must_use]
    pub const fn from_raw(number: i32) -> Option<Self> {
        if number >= 1 && number <= notice::LARGEST {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Its number.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(bench_runtime::signal::Signal::KILL.as_raw(), 9);
    /// ```
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    fn refusal(self) -> Option<&'static str> {
        match self {
            Self::KILL | Self::STOP => Some("no process can catch it"),
            Self::SEGV | Self::BUS => {
                Some("the runtime needs it, for the guards of stacks among others")
            }
            Self::ILL | Self::FPE => {
                Some("the instruction that fails would be tried again without end")
            }
            Self(32 | 33) => Some("libc needs it"),
            _ => None,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The channel of the signals, from [`notify`]. It has the methods of [`Receiver`], and can be
/// used as one in `select!`.
///
/// Dropping it restores the former actions of its signals, except for signals that another
/// `Signals` still receives. Clones of the receiver get the pending signals, and then `None`.
///
/// # Examples
///
/// ```
/// use bench_runtime::signal::{self, Signal};
/// use bench_runtime::{chan, select};
///
/// # fn main() -> std::io::Result<()> {
/// let signals = signal::notify(&[Signal::TERM])?;
/// let (jobs, queue) = chan(1);
/// jobs.send("a job").unwrap();
/// select! {
///     recv(queue) -> job => assert_eq!(job, Some("a job")),
///     recv(signals) -> _ => unreachable!("no signal was sent"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Signals {
    receiver: Receiver<Signal>,
    /// Holds the only sender.
    _listening: Listening,
}

impl Deref for Signals {
    type Target = Receiver<Signal>;

    fn deref(&self) -> &Receiver<Signal> {
        &self.receiver
    }
}

impl RecvOperand for Signals {
    type Item = Signal;

    fn receiver(&self) -> Option<&Receiver<Signal>> {
        Some(&self.receiver)
    }
}

/// Sends these signals to the returned channel until it is dropped; they have no other effect.
/// Does not block.
///
/// - The channel has room for one signal of each number: a signal that comes while the same signal
///   is pending is merged with it. Signals that come at the same time are in the order of their
///   numbers.
/// - A future of `recv_async` that is dropped after it has received a signal puts it back. If the
///   same signal has come since, the two are merged.
/// - Each of several receivers for a signal gets it.
/// - A signal that was ignored is received too, and ignored again afterwards. A program that
///   honours `nohup` calls [`is_ignored`] before.
/// - System calls that a signal interrupts are restarted, where the kernel can do that
///   (`SA_RESTART`).
/// - Child processes are not affected, even between `fork` and `exec`.
/// - While a receiver exists no deadlock is reported.
///
/// # Errors
///
/// With [`io::ErrorKind::InvalidInput`] if no signal is named, or if a named signal cannot be
/// received: `KILL` and `STOP`; `SEGV` and `BUS`, which the runtime needs; `ILL` and `FPE`; 32 and
/// 33, which libc needs. With the system's error if the system refuses a signal or, at the first
/// call, a descriptor or a thread.
///
/// # Examples
///
/// The program ends slowly at the first Ctrl-C, and at once at a second one:
///
/// ```
/// use bench_runtime::signal::{self, Signal};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let interrupts = signal::notify(&[Signal::INT])?;
/// # let interrupt = || std::process::Command::new("kill").args(["-INT", &std::process::id().to_string()]).status();
/// # interrupt()?;
/// interrupts.recv();
/// println!("ending; press Ctrl-C again to end at once");
/// # interrupt()?;
/// if interrupts.recv_timeout(Duration::from_secs(5)).is_ok() {
///     println!("at once, then");
/// }
/// # Ok(())
/// # }
/// ```
pub fn notify(signals: &[Signal]) -> io::Result<Signals> {
    let refuse = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if signals.is_empty() {
        return refuse("no signal is named".to_owned());
    }
    for signal in signals {
        if let Some(why) = signal.refusal() {
            return refuse(format!("{signal} cannot be asked for: {why}"));
        }
    }
    let all = signals.iter().fold(0, |all, s| all | notice::bit(s.0));
    let (sender, receiver) = chan_of_each_once(all.count_ones());
    let listening = listen(all, move |number| sender.try_send_once(Signal(number)))?;
    sched::give_way();
    Ok(Signals {
        receiver,
        _listening: listening,
    })
}

/// True if this process ignores the signal. A shell starts background jobs with `INT` and `QUIT`
/// ignored, and `nohup` ignores `HUP`. False while a receiver for it exists.
///
/// # Examples
///
/// ```
/// use bench_runtime::signal::{self, Signal};
///
/// # fn main() -> std::io::Result<()> {
/// // Rust's programs ignore this one.
/// assert!(signal::is_ignored(Signal::PIPE));
/// let signals: Vec<_> = [Signal::HUP, Signal::INT, Signal::TERM]
///     .into_iter()
///     .filter(|signal| !signal::is_ignored(*signal))
///     .collect();
/// # if signals.is_empty() { return Ok(()) }
/// let signals = signal::notify(&signals)?;
/// # drop(signals);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn is_ignored(signal: Signal) -> bool {
    // libc reserves two numbers, and refuses to read their actions.
    notice::is_ignored(signal.0).unwrap_or(false)
}
