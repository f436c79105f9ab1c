//! The contents of the files that `io.file_read` reads.

const PERIOD: u64 = 251;

pub(crate) fn fill(file: u64, offset: u64, block: &mut [u8]) {
    for (byte, j) in block.iter_mut().zip(offset..) {
        *byte = ((file + j) % PERIOD) as u8;
    }
}

pub(crate) fn sum(file: u64, size: u64) -> u64 {
    let whole_periods = size - size % PERIOD;
    size / PERIOD * (PERIOD * (PERIOD - 1) / 2)
        + (whole_periods..size)
            .map(|j| (file + j) % PERIOD)
            .sum::<u64>()
}

pub(crate) fn add_up(block: &[u8]) -> u64 {
    block.iter().map(|&byte| u64::from(byte)).sum()
}
