//! Counting primes by trial division.

use std::sync::Arc;

use super::{Kernel, edge};
use crate::catalogue::get;

/// Counts the primes of a chunk of the numbers below `limit_count`.
pub(crate) const KERNEL: Kernel = |parameters| {
    let chunks = get(parameters, "chunks_count");
    let limit = get(parameters, "limit_count");
    let skewed = get(parameters, "skewed") == 1;
    let edge = move |index| {
        if skewed {
            limit * index * index / (chunks * chunks)
        } else {
            edge(limit, chunks, index)
        }
    };
    Arc::new(move |index| {
        (edge(index)..edge(index + 1))
            .filter(|&n| is_prime(n))
            .count() as u64
    })
};

fn is_prime(n: u64) -> bool {
    if n < 3 || n.is_multiple_of(2) {
        return n == 2;
    }
    let mut divisor = 3;
    while divisor * divisor <= n {
        if n.is_multiple_of(divisor) {
            return false;
        }
        divisor += 2;
    }
    true
}
