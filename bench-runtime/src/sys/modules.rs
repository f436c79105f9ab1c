use std::ops::Range;
use std::slice;

/// Addresses are those in this process.
#[derive(Debug)]
pub(crate) struct LoadedModule {
    /// The difference between an address in memory and in the file.
    pub(crate) bias: u64,
    pub(crate) range: Range<u64>,
    /// `.eh_frame_hdr`: its addresses, and its bytes.
    pub(crate) eh_frame_hdr: (Range<u64>, Vec<u8>),
    /// From `.eh_frame` to the end of its segment: its addresses, and its bytes.
    pub(crate) eh_frame: (Range<u64>, Vec<u8>),
}

/// All modules that have unwind tables. The tables are copies, because a module may be unloaded.
pub(crate) fn loaded() -> Vec<LoadedModule> {
    let mut all: Vec<LoadedModule> = Vec::new();
    // SAFETY: the callback only uses the pointer during the call.
    unsafe { libc::dl_iterate_phdr(Some(add_module), (&raw mut all).cast()) };
    all
}

unsafe extern "C" fn add_module(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    all: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the linker passes a filled-in record, and holds its lock, so the module stays loaded
    // during the call; `all` is the vector of `loaded`.
    unsafe {
        let info = &*info;
        let headers = slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
        (*all.cast::<Vec<LoadedModule>>()).extend(read_module(info.dlpi_addr, headers));
    }
    0
}

/// # Safety
///
/// The headers are those of a module that is loaded with this bias, and stays loaded.
unsafe fn read_module(bias: u64, headers: &[libc::Elf64_Phdr]) -> Option<LoadedModule> {
    let place = |header: &libc::Elf64_Phdr| {
        let start = bias + header.p_vaddr;
        start..start + header.p_memsz
    };
    let segments = || {
        headers
            .iter()
            .filter(|h| h.p_type == libc::PT_LOAD)
            .map(place)
    };
    let range = segments().map(|s| s.start).min()?..segments().map(|s| s.end).max()?;
    let hdr = place(headers.iter().find(|h| h.p_type == libc::PT_GNU_EH_FRAME)?);
    // SAFETY: the segment of the table is loaded and readable.
    let hdr_bytes = unsafe { bytes_of(&hdr) };
    // Linkers write version 1, and a pointer to `.eh_frame` in four bytes, relative to its own
    // address.
    let [1, 0x1b, _, _, a, b, c, d, ..] = *hdr_bytes else {
        return None;
    };
    let offset = i64::from(i32::from_le_bytes([a, b, c, d]));
    let start = (hdr.start + 4).checked_add_signed(offset)?;
    let segment = segments().find(|segment| segment.contains(&start))?;
    let eh_frame = start..segment.end;
    // SAFETY: as above.
    let eh_frame_bytes = unsafe { bytes_of(&eh_frame) };
    Some(LoadedModule {
        bias,
        range,
        eh_frame_hdr: (hdr, hdr_bytes.to_vec()),
        eh_frame: (eh_frame, eh_frame_bytes.to_vec()),
    })
}

/// # Safety
///
/// The range is readable, and not written, as long as the result is used.
unsafe fn bytes_of(range: &Range<u64>) -> &'static [u8] {
    let bytes = (range.end - range.start) as usize;
    // SAFETY: by the caller's promise.
    unsafe { slice::from_raw_parts(range.start as *const u8, bytes) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_itself_is_loaded_and_has_tables() {
        let here = super::loaded as *const () as u64;
        let all = super::loaded();
        let program = all.iter().find(|module| module.range.contains(&here));
        let program = program.expect("the program that runs this test");
        assert!(program.eh_frame.1.len() > 1024);
        assert!(!program.eh_frame_hdr.1.is_empty());
    }
}
