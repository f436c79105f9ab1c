//! Finds the calls on a stack by the unwind tables of the program: on a suspended stack, from a
//! copy of its bytes, or on the caller's own stack.

use std::collections::HashMap;

use framehop::{
    CacheNative, ExplicitModuleSectionInfo, MayAllocateDuringUnwind, Module, UnwindRegsNative,
    Unwinder as _, UnwinderNative,
};

use crate::arch::{self, Registers};
use crate::sys::modules;

/// The most frames that are followed, because a recursion may be endless.
const MOST_FRAMES: usize = 512;
/// The most frames of a goroutine that walks its own stack: Go's figure.
const MOST_OWN_FRAMES: usize = 128;

/// A function that was called and has not returned.
///
/// # Examples
///
/// ```
/// use bench_runtime::{Runtime, chan, go, goroutine_profile, goroutines, yield_now};
///
/// fn wait_for_work(rx: bench_runtime::Receiver<()>) {
///     rx.recv();
/// }
///
/// // SAFETY: nothing here parks inside a thread-local's initialiser or scope.
/// unsafe { Runtime::builder().build() }?.run(|| {
///     let (tx, rx) = chan::<()>(0);
///     let waiting = go(move || wait_for_work(rx));
///     while !goroutines().iter().any(|g| g.state == "chan receive") {
///         yield_now();
///     }
///     let profile = goroutine_profile();
///     let mut frames = profile.groups.iter().flat_map(|group| &group.frames);
///     assert!(frames.any(|frame| frame.function.contains("wait_for_work")));
///     drop(tx);
///     waiting.join().unwrap();
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Frame {
    /// The function's name, demangled; an address if the program has no symbols.
    pub function: String,
    /// The source file, if the program has line tables.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// The address of the call in the program. 0 for a call within the runtime.
    pub address: u64,
}

/// Holds the unwind tables of the modules that were loaded when it was made.
pub(crate) struct Unwinder {
    tables: UnwinderNative<Vec<u8>, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
}

impl Unwinder {
    pub(crate) fn new() -> Self {
        let mut tables = UnwinderNative::new();
        for module in modules::loaded() {
            let of_file =
                |range: std::ops::Range<u64>| range.start - module.bias..range.end - module.bias;
            let (hdr, hdr_bytes) = module.eh_frame_hdr;
            let (eh_frame, eh_frame_bytes) = module.eh_frame;
            let sections = ExplicitModuleSectionInfo {
                eh_frame_hdr_svma: Some(of_file(hdr)),
                eh_frame_hdr: Some(hdr_bytes),
                eh_frame_svma: Some(of_file(eh_frame)),
                eh_frame: Some(eh_frame_bytes),
                ..Default::default()
            };
            let module = Module::new(String::new(), module.range, module.bias, sections);
            tables.add_module(module);
        }
        Self {
            tables,
            cache: CacheNative::new(),
        }
    }

    /// The addresses of the calls on a stack, the innermost first. `stack` holds the bytes from the
    /// saved context `saved` upwards.
    pub(crate) fn calls(&mut self, saved: usize, stack: &[u8]) -> Vec<u64> {
        let word = |address: u64| {
            let at = usize::try_from(address.checked_sub(saved as u64).ok_or(())?).map_err(drop)?;
            let bytes = stack.get(at..at.checked_add(8).ok_or(())?).ok_or(())?;
            bytes.try_into().map(u64::from_ne_bytes).map_err(drop)
        };
        let Ok(Registers { ip, sp, fp }) = arch::registers(saved as u64, word) else {
            return Vec::new();
        };
        #[cfg(target_arch = "x86_64")]
        let registers = UnwindRegsNative::new(ip, sp, fp);
        // The link register is not needed: a function saves it before it is suspended.
        #[cfg(target_arch = "aarch64")]
        let registers = UnwindRegsNative::new(0, sp, fp);
        let mut read = word;
        let mut frames = self
            .tables
            .iter_frames(ip, registers, &mut self.cache, &mut read);
        let mut calls = Vec::new();
        while calls.len() < MOST_FRAMES
            && let Ok(Some(frame)) = frames.next()
        {
            calls.push(frame.address_for_lookup());
        }
        calls
    }
}

/// The addresses of the calls on the caller's stack, the innermost first, without the call of this
/// function.
#[inline(never)]
pub(crate) fn own_calls() -> Vec<u64> {
    let mut calls = Vec::with_capacity(MOST_OWN_FRAMES);
    let here = arch::stack_pointer();
    // Does not take the lock of `backtrace`, which is held for long while names are looked up.
    // SAFETY: the lock protects a library of Windows; here the crate calls `_Unwind_Backtrace`,
    // which any number of threads may call at once.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            // Skips the frames between here and the unwinder.
            if frame.sp() as usize > here && !frame.ip().is_null() {
                calls.push(frame.ip() as u64 - 1);
            }
            calls.len() < MOST_OWN_FRAMES
        });
    }
    calls.shrink_to_fit();
    calls
}

#[derive(Debug, Default)]
pub(crate) struct Symbols(HashMap<u64, Vec<Frame>>);

impl Symbols {
    /// The frames of these calls, the innermost first; a call has several frames if functions were
    /// inlined.
    pub(crate) fn at(&mut self, calls: &[u64]) -> Vec<&Frame> {
        for &call in calls {
            self.0.entry(call).or_insert_with(|| look_up(call));
        }
        calls.iter().flat_map(|call| &self.0[call]).collect()
    }
}

fn look_up(address: u64) -> Vec<Frame> {
    let unknown = || Frame {
        function: format!("{address:#x}"),
        file: None,
        line: None,
        address,
    };
    let mut frames = Vec::new();
    backtrace::resolve(address as *mut _, |symbol| {
        frames.push(Frame {
            function: match symbol.name() {
                Some(name) => format!("{name:#}"),
                None => unknown().function,
            },
            file: symbol.filename().map(|file| file.display().to_string()),
            line: symbol.lineno(),
            address,
        });
    });
    if frames.is_empty() {
        frames.push(unknown());
    }
    frames
}
