//! The context switch on x86-64, System V ABI.
//!
//! ```text
//! +--------------+ <- higher addresses, the frame of `switch`'s caller
//! | rbp, rbx     |    LLVM keeps these for itself, so they cannot be named
//! +--------------+    as clobbers and are pushed by hand
//! | resume       |    where to go on: popped and jumped to
//! +--------------+ <- saved context
//!
//! +--------------+ <- top of an unused stack, aligned to 16
//! | entry        |
//! | `base`       |    takes the place of `resume`
//! +--------------+ <- saved context, as `prepare` leaves it
//! ```

use std::arch::{asm, naked_asm};
use std::ffi::c_void;

use super::context::{Entry, Registers};
use super::exception::{Body, personality};

/// See the contract in [`super`].
///
/// # Safety
///
/// `top` is the upper end, aligned to 16, of a writable stack that is not in use.
#[inline(always)]
pub(crate) unsafe fn prepare(top: *mut u8, entry: Entry) -> usize {
    let words = top.cast::<usize>();
    // SAFETY: two words below the top are part of the unused stack.
    unsafe {
        words.sub(1).write(entry as usize);
        words.sub(2).write(base as *const () as usize);
        words.sub(2) as usize
    }
}

#[unsafe(naked)]
unsafe extern "C" fn base() {
    naked_asm!(
        // Unwinders end at a frame whose return address is marked as undefined, the frame-pointer
        // chain at a null rbp.
        ".cfi_startproc",
        ".cfi_undefined rip",
        "pop rax",
        "xor ebp, ebp",
        // The payload arrives in rdx, and the first argument is passed in rdi.
        "mov rdi, rdx",
        // A push and a jump in place of a call, because the return predictor would record the call,
        // and the entry never returns.
        "lea rcx, [rip + 2f]",
        "push rcx",
        "jmp rax",
        "2:",
        "ud2",
        ".cfi_endproc",
    )
}

/// # Safety
///
/// `to` is a saved context that no other thread resumes, its stack is alive, and
/// `save` may be written.
#[inline(always)]
pub(crate) unsafe fn switch(save: *mut usize, to: usize, payload: usize) -> usize {
    let back;
    // SAFETY: the caller owns the context and may resume it. All registers are clobbered, or saved
    // by this code; without `nostack` the compiler keeps no data in the red zone.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "push rax",
            // Once this store is visible, another CPU may resume this context. Stores become
            // visible in order, so that CPU also sees the pushed values.
            "mov [rdi], rsp",
            "mov rsp, rsi",
            // Not `ret`: the return predictor has seen no matching call and would miss each time.
            "pop rax",
            "jmp rax",
            "2:",
            "pop rbx",
            "pop rbp",
            inout("rdi") save => _,
            inout("rsi") to => _,
            inout("rdx") payload => back,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("sysv64"),
        );
    }
    back
}

/// # Safety
///
/// As for [`switch`]; and nothing on the running stack is ever used again.
#[inline(always)]
pub(crate) unsafe fn jump(to: usize, payload: usize) -> ! {
    // SAFETY: as in `switch`.
    unsafe {
        asm!(
            "mov rsp, {to}",
            "pop rax",
            "jmp rax",
            to = in(reg) to,
            in("rdx") payload,
            options(noreturn),
        );
    }
}

pub(crate) fn registers<E>(
    saved: u64,
    word: impl Fn(u64) -> Result<u64, E>,
) -> Result<Registers, E> {
    Ok(Registers {
        ip: word(saved)?,
        // Skips the words that `switch` has pushed, which are not in its caller's unwind table.
        sp: saved + 24,
        fp: word(saved + 16)?,
    })
}

/// # Safety
///
/// `f` may be called with `data`.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn catch(f: Body, data: *mut c_void) -> *mut c_void {
    naked_asm!(
        ".pushsection .data.rel.ro.bench_runtime_personality,\"aw\",@progbits",
        ".p2align 3",
        ".Lbench_runtime_personality:",
        ".quad {personality}",
        ".popsection",
        ".cfi_startproc",
        // 0x9b: relative, indirect, four bytes, to the word above with the personality's address.
        ".cfi_personality 0x9b, .Lbench_runtime_personality",
        "push rax",
        ".cfi_adjust_cfa_offset 8",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "xor eax, eax",
        // After an exception is caught, execution continues here.
        "pop rcx",
        ".cfi_adjust_cfa_offset -8",
        "ret",
        ".cfi_endproc",
        personality = sym personality,
    )
}

#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    if cfg!(miri) {
        // Miri cannot run assembly; any address on the stack will do.
        let here = 0u8;
        return std::ptr::from_ref(&here).addr();
    }
    let sp;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}
