//! The context switch: the interface that every CPU must provide.
//!
//! A *saved context* is a stack pointer; the stack holds all other registers. Each architecture's
//! file draws that stack. The contract:
//!
//! - `prepare(top, entry) -> usize`: writes a saved context into an unused stack. A resume of it
//!   calls `entry(payload)` on the empty stack; unwinders stop there.
//! - `switch(save, to, payload) -> usize`: saves the running context, stores its address to `*save`
//!   as the last step, and resumes `to`. From that store on, another thread may resume the saved
//!   context. Returns the payload of the switch that resumes it.
//! - `jump(to, payload) -> !`: resumes `to` and forgets the running context.
//! - `stack_pointer() -> usize`: under Miri an address close to it.
//! - `registers(saved, word) -> Registers`: the registers with which an unwinder begins at a saved
//!   context; `word` reads from its stack.
//! - `catch(f, data) -> exception`: calls `f(data)`. Returns null if `f` returns, or the
//!   exception's object if `f` unwinds ([`exception`]).
//!
//! The assembly of a switch saves two registers that LLVM reserves, and declares all others as
//! clobbered, so the compiler saves only live values. Floating-point control words are not
//! switched: no code may change them across a park.

mod context;
pub(crate) mod exception;

pub(crate) use context::Registers;

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{catch, jump, prepare, registers, stack_pointer, switch};

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::{catch, jump, prepare, registers, stack_pointer, switch};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!(
    "bench-runtime has a context switch for x86-64 and aarch64 only: add one in src/arch/"
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        static MAIN: Cell<usize> = const { Cell::new(0) };
        static OTHER: Cell<usize> = const { Cell::new(0) };
    }

    unsafe extern "C" fn doubler(mut payload: usize) -> ! {
        loop {
            let main = MAIN.with(Cell::get);
            let other = OTHER.with(Cell::as_ptr);
            // SAFETY: the test suspended itself with the context in MAIN.
            payload = unsafe { switch(other, main, payload * 2) };
        }
    }

    #[test]
    fn switch_carries_payloads_both_ways_and_keeps_locals() {
        let mut stack = vec![0u128; 4096];
        let top = stack.as_mut_ptr_range().end.cast::<u8>();
        // SAFETY: the stack is live, unused and aligned to 16.
        let mut other = unsafe { prepare(top, doubler) };
        let mut sum = 0;
        for i in 0..1000usize {
            // SAFETY: `other` is the fresh or suspended context of `doubler`, and this thread
            // resumes it only here.
            sum += unsafe { switch(MAIN.with(Cell::as_ptr), other, i) };
            other = OTHER.with(Cell::get);
        }
        assert_eq!(sum, 999_000);
    }
}
