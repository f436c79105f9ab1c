//! Faults: a handler for SIGSEGV and SIGBUS, on an alternate stack for each thread. It is called
//! before the handler that was there.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::map::{self, Access, PAGE};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) signal: libc::c_int,
    pub(crate) address: usize,
    pub(crate) stack_pointer: usize,
    /// The instruction that made the access.
    pub(crate) program_counter: usize,
    pub(crate) from_kernel: bool,
}

/// Handles a fault. True: the cause is removed, and the access is tried again. False: the former
/// handler is called. The function makes only calls that are allowed in a signal handler.
pub(crate) type Handler = fn(&Fault) -> bool;

struct Installed {
    handler: Handler,
    segv: libc::sigaction,
    bus: libc::sigaction,
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();
static ARMED: AtomicBool = AtomicBool::new(false);

/// Only the first call has an effect.
pub(crate) fn install(handler: Handler) -> io::Result<()> {
    let previous = |signal| {
        let mut old = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: reads the current action and changes nothing.
        match unsafe { libc::sigaction(signal, ptr::null(), old.as_mut_ptr()) } {
            // SAFETY: the kernel has filled it in.
            0 => Ok(unsafe { old.assume_init() }),
            _ => Err(io::Error::last_os_error()),
        }
    };
    let (segv, bus) = (previous(libc::SIGSEGV)?, previous(libc::SIGBUS)?);
    // All that the handler needs exists before the handler can run.
    INSTALLED.get_or_init(|| Installed { handler, segv, bus });
    if ARMED.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: all zeros is a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = entry as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `entry` is a handler of the three-argument form, makes only calls that are
        // allowed in one, and is never unloaded.
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn entry(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(installed) = INSTALLED.get() else {
        return;
    };
    // SAFETY: the kernel passes a valid siginfo, and an address with these two signals; errno is
    // the thread's own.
    let (address, code, errno) = unsafe {
        (
            (*info).si_addr() as usize,
            (*info).si_code,
            libc::__errno_location(),
        )
    };
    // SAFETY: as above.
    let saved_errno = unsafe { *errno };
    let (program_counter, stack_pointer) = registers(context);
    let fault = Fault {
        signal,
        address,
        stack_pointer,
        program_counter,
        from_kernel: code > 0,
    };
    let handled = (installed.handler)(&fault);
    // SAFETY: as above.
    unsafe { *errno = saved_errno };
    if !handled {
        let previous = match signal {
            libc::SIGBUS => &installed.bus,
            _ => &installed.segv,
        };
        pass_on(signal, info, context, previous, fault.from_kernel);
    }
}

fn pass_on(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
    previous: &libc::sigaction,
    from_kernel: bool,
) {
    match previous.sa_sigaction {
        libc::SIG_IGN if !from_kernel => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: all zeros is SIG_DFL without flags; raise has no precondition. A fault
            // repeats when we return. A signal that was sent is sent again, and arrives when we
            // return.
            unsafe {
                let default: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, &raw const default, ptr::null_mut());
                if !from_kernel {
                    libc::raise(signal);
                }
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: a handler that was installed with SA_SIGINFO is of this form, and it gets
            // what the kernel gave us.
            unsafe {
                let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
        }
        handler => {
            // SAFETY: without SA_SIGINFO the handler is of this form.
            unsafe {
                let handler: extern "C" fn(i32) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}

fn registers(context: *mut libc::c_void) -> (usize, usize) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes a valid context to a three-argument handler.
    let machine = unsafe { &(*context).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    return (
        machine.gregs[libc::REG_RIP as usize] as usize,
        machine.gregs[libc::REG_RSP as usize] as usize,
    );
    #[cfg(target_arch = "aarch64")]
    return (machine.pc as usize, machine.sp as usize);
}

/// The alternate signal stack of one thread, with a guard below it. The drop restores the thread's
/// former alternate stack, so it must be on that thread.
#[derive(Debug)]
pub(crate) struct AltStack {
    mapping: usize,
    bytes: usize,
    previous: libc::stack_t,
}

impl AltStack {
    /// The size is `bytes`, plus the bytes that the CPU's registers need.
    pub(crate) fn install(bytes: usize) -> io::Result<Self> {
        // SAFETY: reads a value of the process.
        let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
        let bytes = (bytes + frame).next_multiple_of(PAGE) + PAGE;
        let mapping = map::reserve(bytes, PAGE)?;
        let this = Self {
            mapping,
            bytes,
            previous: libc::stack_t {
                ss_sp: ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: 0,
            },
        };
        // SAFETY: the mapping is ours, and its lowest page stays inaccessible.
        unsafe { map::protect(mapping + PAGE, bytes - PAGE, Access::ReadWrite)? };
        let mut this = this;
        let stack = libc::stack_t {
            ss_sp: (mapping + PAGE) as *mut libc::c_void,
            ss_flags: 0,
            ss_size: bytes - PAGE,
        };
        // SAFETY: the stack is freed only after `drop` has removed it from the thread.
        match unsafe { libc::sigaltstack(&raw const stack, &raw mut this.previous) } {
            0 => Ok(this),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        let mut current = MaybeUninit::<libc::stack_t>::uninit();
        // SAFETY: only our stack is removed, and it is unmapped only when the thread does not use
        // it any more.
        unsafe {
            if libc::sigaltstack(ptr::null(), current.as_mut_ptr()) == 0
                && current.assume_init().ss_sp as usize == self.mapping + PAGE
                && libc::sigaltstack(&raw const self.previous, ptr::null_mut()) != 0
            {
                return;
            }
            let _ = map::unmap(self.mapping, self.bytes);
        }
    }
}
