//! Memory that a task reads on each hop.

use std::hint::black_box;

use super::bytes;

pub(crate) fn array(size: u64) -> Vec<u8> {
    let mut array = vec![0; size as usize];
    bytes::fill(0, 0, &mut array);
    array
}

pub(crate) fn sum_array(array: &[u8]) -> u64 {
    bytes::add_up(black_box(array))
}

pub(crate) fn sum(size: u64) -> u64 {
    bytes::sum(0, size)
}
