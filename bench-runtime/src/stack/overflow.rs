//! The report of a stack overflow. Then the process aborts, as Go does: the frames of one goroutine
//! alone cannot be unwound.
//!
//! A fault is an overflow if the stack pointer is in a goroutine's slot and the accessed address is
//! below that slot's limit. Every other fault goes to the former handler.
//!
//! The code that overflowed may hold any lock, for example malloc's. So the first part of the
//! report needs no lock and no memory. A watchdog ends the process if the backtrace, which may need
//! both, hangs.

use std::fmt::Write;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use super::compact::{self, Touch};
use super::header::owner_of;
use super::{Stack, StackHeader};
use crate::fatal::StderrBuffer;
use crate::sys::map::{self, PAGE};
use crate::sys::signal::{self, AltStack, Fault};

/// Room for the symbolised backtrace, which needed about 20 KiB in a debug build.
const ALT_STACK: usize = 64 << 10;

const WATCHDOG_S: u32 = 5;

/// Frames shown of a deep recursion, from both ends, as many as Go shows.
const INNERMOST: usize = 50;
const OUTERMOST: usize = 50;

/// Writes a description of the goroutine: `goroutine 7 "name" [running], spawned at file:line`.
/// Runs in a signal handler: no lock, no allocation.
pub(crate) type Describe = fn(g: *mut (), out: &mut dyn Write);

static DESCRIBE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

pub(crate) fn describe_with(describe: Describe) {
    // Release: pairs with the Acquire in `report`.
    DESCRIBE.store(describe as *mut (), Ordering::Release);
}

/// The signal stack of a thread that may run goroutines. Must be dropped on the same thread.
#[derive(Debug)]
#[must_use = "the thread loses its signal stack when this is dropped"]
pub(crate) struct ThreadGuard {
    _alt_stack: AltStack,
}

/// Installs the signal stack of this thread and, if it is not installed yet, the handler of the
/// process.
pub(crate) fn install_for_thread() -> io::Result<ThreadGuard> {
    let alt_stack = AltStack::install(ALT_STACK)?;
    install_handler()?;
    Ok(ThreadGuard {
        _alt_stack: alt_stack,
    })
}

pub(super) fn install_handler() -> io::Result<()> {
    signal::install(on_fault)
}

fn on_fault(fault: &Fault) -> bool {
    // If the accessed address is the program counter, code was executed on a stack, which is
    // another error.
    let accessed = fault.signal == libc::SIGSEGV && fault.address != fault.program_counter;
    if fault.from_kernel && accessed && compact::on_fault(fault.address) == Touch::Restored {
        return true;
    }
    if fault.from_kernel
        && let Some(header) = overflowed(fault)
    {
        report(Stack::from_header(header), fault);
    }
    false
}

fn overflowed(fault: &Fault) -> Option<NonNull<StackHeader>> {
    // The slot that contains SP is in use, so its header may be read. When a new frame faults, SP
    // may already be in the guard, which `owner_of` allows.
    let header = owner_of(fault.stack_pointer)?;
    let limit = Stack::from_header(header).limit();
    (owner_of(fault.address) == Some(header) && fault.address < limit).then_some(header)
}

fn report(stack: Stack, fault: &Fault) -> ! {
    static REPORTING: AtomicBool = AtomicBool::new(false);
    if REPORTING.swap(true, Ordering::AcqRel) {
        // Either another thread is writing the report, and will abort; or the backtrace faulted on
        // this thread, and nothing more can be printed.
        if REPORTER.load(Ordering::Relaxed) == thread_id() {
            abort();
        }
        loop {
            // SAFETY: pause has no precondition.
            unsafe { libc::pause() };
        }
    }
    REPORTER.store(thread_id(), Ordering::Relaxed);
    let mut out = StderrBuffer::new();
    // The buffer's writes never fail.
    let _ = writeln!(
        out,
        "runtime: goroutine stack exceeds {}-byte limit",
        stack.usable()
    );
    let _ = writeln!(out, "fatal error: stack overflow\n");
    // Acquire: pairs with the Release in `describe_with`.
    let describe = DESCRIBE.load(Ordering::Acquire);
    if describe.is_null() {
        let _ = write!(out, "goroutine at {:?}", stack.header().g.get());
    } else {
        // SAFETY: only `describe_with` stores here, and it stores this type.
        let describe: Describe = unsafe { std::mem::transmute(describe) };
        describe(stack.header().g.get(), &mut out);
    }
    let _ = writeln!(
        out,
        "\nstack limit {} bytes, high-water mark {} bytes; sp {:#x}, access to {:#x}, {} bytes \
         below the limit",
        stack.usable(),
        high_water(stack),
        fault.stack_pointer,
        fault.address,
        stack.limit() - fault.address,
    );
    let _ = writeln!(
        out,
        "a larger stack comes from the builder's stack policy; an endless recursion needs another \
         cure\n"
    );
    out.flush();
    arm_watchdog();
    backtrace(fault.program_counter);
    abort();
}

static REPORTER: AtomicUsize = AtomicUsize::new(0);

fn thread_id() -> usize {
    // SAFETY: gettid has no precondition.
    unsafe { libc::gettid() as usize }
}

fn abort() -> ! {
    // SAFETY: abort has no precondition and is allowed in a signal handler.
    unsafe { libc::abort() }
}

/// Bytes from the lowest page that is in memory to the top of the slot.
fn high_water(stack: Stack) -> usize {
    const WINDOW: usize = 64;
    let mut start = stack.limit();
    while start < stack.slot_top() {
        let mut pages = [0; WINDOW];
        let count = WINDOW.min((stack.slot_top() - start) / PAGE);
        if map::resident(start, &mut pages[..count]).is_err() {
            return 0;
        }
        if let Some(first) = pages[..count].iter().position(|&page| page != 0) {
            return stack.slot_top() - (start + first * PAGE);
        }
        start += count * PAGE;
    }
    0
}

/// The frames from the faulting frame outwards, stored for the watchdog.
struct Frames {
    innermost: [AtomicUsize; INNERMOST],
    /// The last frames so far, in a ring.
    outermost: [AtomicUsize; OUTERMOST],
    count: AtomicUsize,
}

static FRAMES: Frames = Frames {
    innermost: [const { AtomicUsize::new(0) }; INNERMOST],
    outermost: [const { AtomicUsize::new(0) }; OUTERMOST],
    count: AtomicUsize::new(0),
};

impl Frames {
    /// Takes no lock that the interrupted code may hold, and allocates nothing.
    fn collect(&self, program_counter: usize) {
        // The handler's own frames are skipped.
        let mut started = false;
        let push = |ip| {
            let number = self.count.fetch_add(1, Ordering::Relaxed);
            if let Some(slot) = self.innermost.get(number) {
                slot.store(ip, Ordering::Relaxed);
            }
            self.outermost[number % OUTERMOST].store(ip, Ordering::Relaxed);
        };
        // SAFETY: only this thread reports. The lock of the crate `backtrace` must not be taken
        // here: the code that overflowed may hold it.
        unsafe {
            backtrace::trace_unsynchronized(|frame| {
                let ip = frame.ip() as usize;
                started |= ip == program_counter;
                if started && ip != 0 {
                    push(ip);
                }
                true
            });
        }
        if !started {
            // The unwind information does not lead to the frame that faulted.
            push(program_counter);
        }
    }

    fn write(&self, out: &mut StderrBuffer, write_frame: fn(&mut StderrBuffer, usize, usize)) {
        let count = self.count.load(Ordering::Relaxed);
        for (number, ip) in self.innermost.iter().enumerate().take(count) {
            write_frame(out, number, ip.load(Ordering::Relaxed));
        }
        let outer_start = count.saturating_sub(OUTERMOST).max(INNERMOST);
        if outer_start > INNERMOST {
            let _ = writeln!(
                out,
                "      ... {} frames left out ...",
                outer_start - INNERMOST
            );
        }
        for number in outer_start..count {
            let ip = &self.outermost[number % OUTERMOST];
            write_frame(out, number, ip.load(Ordering::Relaxed));
        }
        out.flush();
    }
}

/// May take any lock.
fn backtrace(program_counter: usize) {
    let mut out = StderrBuffer::new();
    FRAMES.collect(program_counter);
    let _ = writeln!(out, "stack backtrace:");
    FRAMES.write(&mut out, write_symbols);
}

fn arm_watchdog() {
    extern "C" fn give_up(_: libc::c_int) {
        let mut out = StderrBuffer::new();
        let _ = writeln!(
            out,
            "(finding the names hangs: the code that overflowed holds a lock. Offsets in the \
             executable, for addr2line:)"
        );
        FRAMES.write(&mut out, write_offset);
        abort();
    }
    // SAFETY: all zeros is a valid sigaction and an empty set; the handler only writes and aborts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = give_up as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut());
        let mut alarm: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut alarm, libc::SIGALRM);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const alarm, ptr::null_mut());
        libc::alarm(WATCHDOG_S);
    }
}

fn write_offset(out: &mut StderrBuffer, number: usize, ip: usize) {
    // The program headers are in the executable's first page. SAFETY: reads a value of the process.
    let base = unsafe { libc::getauxval(libc::AT_PHDR) } as usize & !(PAGE - 1);
    let _ = writeln!(out, "{number:4}: {:#x}", ip.wrapping_sub(base));
}

fn write_symbols(out: &mut StderrBuffer, number: usize, ip: usize) {
    // The function resolves the byte before its argument. In frame 0 `ip` is the instruction that
    // faulted; in the others it is behind a call.
    let exact = usize::from(number == 0);
    let mut named = false;
    // SAFETY: as in `Frames::collect`.
    unsafe {
        backtrace::resolve_unsynchronized((ip + exact) as *mut _, |symbol| {
            let _ = match named {
                false => write!(out, "{number:4}: "),
                true => write!(out, "      "),
            };
            named = true;
            let _ = match symbol.name() {
                Some(name) => write!(out, "{name:#}"),
                None => write!(out, "{ip:#x}"),
            };
            if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
                let _ = write!(out, " at {}:{line}", file.display());
            }
            let _ = writeln!(out);
        });
    }
    if !named {
        let _ = writeln!(out, "{number:4}: {ip:#x}");
    }
    // Flushed now, in case the next frame faults.
    out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;
    use crate::stack::pool::StackCache;
    use crate::stack::{Class, StackPolicy};
    use crate::sys::child;
    use std::hint::black_box;

    const PATH: &str = "stack::overflow::tests::";

    fn run_on_slot(policy: StackPolicy, body: fn()) {
        unsafe extern "C" fn entry(body: usize) -> ! {
            // SAFETY: `run_on_slot` passed a `fn()`.
            let body: fn() = unsafe { std::mem::transmute(body) };
            body();
            eprintln!("body came back");
            std::process::exit(3);
        }
        fn name(_: *mut (), out: &mut dyn Write) {
            let _ = out.write_str("goroutine 42 \"deep\"");
        }
        describe_with(name);
        let _guard = install_for_thread().unwrap();
        let mut cache = StackCache::new();
        let stack = cache.take(Class::for_policy(policy).unwrap()).unwrap();
        let mut here = 0;
        // SAFETY: the stack is fresh; the context saved here is never resumed.
        unsafe {
            let context = arch::prepare(stack.top(), entry);
            arch::switch(&raw mut here, context, body as usize);
        }
    }

    #[inline(never)]
    fn recurse(depth: usize) -> usize {
        let local = black_box([depth; 16]);
        if black_box(true) {
            recurse(depth + 1) + local[3]
        } else {
            local[0]
        }
    }

    #[inline(never)]
    fn big_frame() {
        black_box([0u8; 100_000]);
    }

    fn assert_report(stderr: &str, limit: usize, function: &str) {
        for part in [
            &format!("exceeds {limit}-byte limit"),
            "fatal error: stack overflow",
            "goroutine 42 \"deep\"",
            "frames left out",
            &format!("high-water mark {limit} bytes"),
            function,
        ] {
            assert!(stderr.contains(part), "no {part:?} in:\n{stderr}");
        }
    }

    #[test]
    fn recursion_beyond_the_limit_is_reported_and_aborts() {
        let stderr = child::expect_signal(
            &format!("{PATH}recursion_beyond_the_limit_is_reported_and_aborts"),
            "recursion",
            libc::SIGABRT,
            || {
                run_on_slot(StackPolicy::Fixed(64 << 10), || {
                    black_box(recurse(0));
                })
            },
        );
        if let Some(stderr) = stderr {
            assert_report(&stderr, 64 << 10, "recurse at ");
        }
    }

    #[test]
    fn frame_larger_than_the_guard_is_still_caught() {
        let stderr = child::expect_signal(
            &format!("{PATH}frame_larger_than_the_guard_is_still_caught"),
            "frame",
            libc::SIGABRT,
            || run_on_slot(StackPolicy::Fixed(8 << 10), big_frame),
        );
        if let Some(stderr) = stderr {
            assert!(stderr.contains("stack overflow"), "{stderr}");
            assert!(stderr.contains("big_frame"), "{stderr}");
        }
    }

    #[test]
    fn overflow_of_a_plain_thread_is_still_std_s_to_report() {
        let stderr = child::expect_signal(
            &format!("{PATH}overflow_of_a_plain_thread_is_still_std_s_to_report"),
            "thread",
            libc::SIGABRT,
            || {
                let _guard = install_for_thread().unwrap();
                black_box(recurse(0));
            },
        );
        if let Some(stderr) = stderr {
            assert!(stderr.contains("has overflowed its stack"), "{stderr}");
            assert!(!stderr.contains("goroutine"), "{stderr}");
        }
    }

    #[test]
    fn overflow_while_malloc_is_locked_ends_too() {
        // Allocates at every depth, so that the fault may happen inside malloc.
        #[inline(never)]
        fn recurse_and_allocate(depth: usize) -> usize {
            let vec = black_box(vec![depth; 3]);
            match black_box(true) {
                true => recurse_and_allocate(depth + 1) + vec[1],
                false => depth,
            }
        }
        let _ = child::expect_signal(
            &format!("{PATH}overflow_while_malloc_is_locked_ends_too"),
            "malloc",
            libc::SIGABRT,
            || {
                run_on_slot(StackPolicy::Fixed(16 << 10), || {
                    black_box(recurse_and_allocate(0));
                })
            },
        );
    }
}
