//! Fibonacci's numbers by calls alone: what a call and a return cost.

use std::sync::Arc;

use super::Kernel;
use crate::catalogue::get;

/// Chunks differ by up to three in what they compute, so by four in size.
pub(crate) const KERNEL: Kernel = |parameters| {
    let depth = get(parameters, "depth_count");
    Arc::new(move |index| fib(depth - index % 4))
};

fn fib(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    fib(n - 1) + fib(n - 2)
}
