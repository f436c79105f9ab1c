//! Ways to put n queens on a board so that none attacks another.

use std::sync::Arc;

use super::Kernel;
use crate::catalogue::get;

/// Counts the solutions for one placing of the first two queens.
pub(crate) const KERNEL: Kernel = |parameters| {
    let size = get(parameters, "size_count") as u32;
    Arc::new(move |index| {
        let all = (1_u32 << size) - 1;
        let first = 1 << (index / u64::from(size)) as u32;
        let second = 1 << (index % u64::from(size)) as u32;
        let (columns, left, right) = (first, first << 1, first >> 1);
        if second & (columns | left | right) != 0 {
            return 0;
        }
        solutions(
            all,
            columns | second,
            (left | second) << 1,
            (right | second) >> 1,
        )
    })
};

/// The masks say which columns of the row to come are attacked: by column,
/// and along the diagonals to either side.
fn solutions(all: u32, columns: u32, left: u32, right: u32) -> u64 {
    if columns == all {
        return 1;
    }
    let mut free = all & !(columns | left | right);
    let mut count = 0;
    while free != 0 {
        let queen = free & free.wrapping_neg();
        free ^= queen;
        count += solutions(
            all,
            columns | queen,
            (left | queen) << 1,
            (right | queen) >> 1,
        );
    }
    count
}
