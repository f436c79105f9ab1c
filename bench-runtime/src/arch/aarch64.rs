//! The context switch on aarch64, AAPCS64.
//!
//! ```text
//! +--------------+ <- higher addresses, the frame of `switch`'s caller
//! | x19, x29     |    LLVM keeps these for itself, so they cannot be named
//! +--------------+    as clobbers and are stored by hand
//! | unused       |    SP must stay a multiple of 16
//! | resume       |    where to go on: loaded and jumped to
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
        // chain at a null x29.
        ".cfi_startproc",
        ".cfi_undefined x30",
        // A landing pad for the jump here (`bti jc`), a no-op if branch targets are not enforced.
        "hint #38",
        "ldr x16, [sp, #8]",
        "add sp, sp, #16",
        "mov x29, xzr",
        // The payload arrives in x2, and the first argument is passed in x0.
        "mov x0, x2",
        // A jump, because the return predictor would record a call, and the entry never returns. If
        // branch targets are enforced, a jump through x16 may land where a call may.
        "adr x30, 2f",
        "br x16",
        "2:",
        "brk #1",
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
    // by this code; without `nostack` the compiler keeps no data below SP.
    unsafe {
        asm!(
            "adr x9, 2f",
            "sub sp, sp, #32",
            "stp x19, x29, [sp, #16]",
            "str x9, [sp]",
            "mov x9, sp",
            // Once this store is visible, another CPU may resume this context. The store is a
            // Release: a thread that loads `*save` with Acquire sees all earlier stores.
            "stlr x9, [x0]",
            "mov sp, x1",
            "ldr x9, [sp]",
            "br x9",
            "2:",
            // As in `base`: `bti j`.
            "hint #36",
            "ldp x19, x29, [sp, #16]",
            "add sp, sp, #32",
            inout("x0") save => _,
            inout("x1") to => _,
            inout("x2") payload => back,
            out("x20") _, out("x21") _, out("x22") _, out("x23") _, out("x24") _,
            out("x25") _, out("x26") _, out("x27") _, out("x28") _,
            // The ABI keeps the lower halves of these across a call.
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            clobber_abi("C"),
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
            "mov sp, {to}",
            "ldr x9, [sp]",
            "br x9",
            to = in(reg) to,
            in("x2") payload,
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
        // Skips the words that `switch` has stored, which are not in its caller's unwind table.
        sp: saved + 32,
        fp: word(saved + 24)?,
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
        ".xword {personality}",
        ".popsection",
        ".cfi_startproc",
        // 0x9b: relative, indirect, four bytes, to the word above with the personality's address.
        ".cfi_personality 0x9b, .Lbench_runtime_personality",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset x29, -16",
        ".cfi_offset x30, -8",
        "mov x16, x0",
        "mov x0, x1",
        "blr x16",
        "mov x0, xzr",
        // After an exception is caught, execution continues here.
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
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
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}
