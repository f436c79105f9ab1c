/// Bytes of the process that are in memory; `None` if `/proc` is not there.
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * super::map::PAGE as u64)
}

pub(crate) fn total_bytes() -> Option<u64> {
    let mut info = std::mem::MaybeUninit::<libc::sysinfo>::uninit();
    // SAFETY: the kernel fills the struct in, or returns an error.
    unsafe {
        (libc::sysinfo(info.as_mut_ptr()) == 0).then(|| {
            let info = info.assume_init();
            info.totalram * u64::from(info.mem_unit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_bytes_are_fewer_than_total_bytes() {
        let (resident, total) = (resident_bytes().unwrap(), total_bytes().unwrap());
        assert!(resident > 100_000 && resident < total);
    }
}
