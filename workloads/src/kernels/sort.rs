//! Sorting numbers by the standard library.

use std::sync::Arc;

use super::{Kernel, lehmer};
use crate::catalogue::get;

/// Fills, sorts and sums an array of its own for each chunk.
pub(crate) const KERNEL: Kernel = |parameters| {
    let items = get(parameters, "items_count");
    Arc::new(move |index| {
        let mut x = lehmer::after(index, 1);
        let mut numbers = Vec::with_capacity(items as usize);
        for _ in 0..items {
            numbers.push(x);
            x = lehmer::next(x);
        }
        numbers.sort_unstable();
        (0..)
            .zip(&numbers)
            .map(|(j, number)| number * (j % 7 + 1) % 1_000_003)
            .sum()
    })
};
