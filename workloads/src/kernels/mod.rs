//! The computations: pure functions, which all lanes in Rust share. Lanes in other languages use
//! the same file names.

pub(crate) mod bytes;
pub(crate) mod descend;
pub(crate) mod lehmer;
pub(crate) mod sieve;
pub(crate) mod working_set;

use std::sync::Arc;

use crate::catalogue::Workload;
use crate::protocol::Parameters;

/// A new kernel that computes in chunks is a file with a `KERNEL` and its `WORKLOADS`, and a line
/// here.
macro_rules! kernels {
    ($($(#[$when:meta])* $kernel:ident,)*) => {
        $($(#[$when])* pub(crate) mod $kernel;)*

        pub(crate) const WORKLOADS: &[&[Workload]] = &[$($(#[$when])* $kernel::WORKLOADS,)*];
    };
}

kernels! {
    primes,
    matmul,
    mandelbrot,
    nqueens,
    fib,
    sort,
    hash,
    json,
    #[cfg(test)]
    collatz,
}

/// A kernel ready to run: returns the result of a chunk by its number.
pub type Chunk = Arc<dyn Fn(u64) -> u64 + Send + Sync>;

/// Prepares the data that all chunks share, and returns the function that computes one chunk.
pub type Kernel = fn(&Parameters) -> Chunk;

/// Where part `index` begins if `whole` is cut into `parts`. The last part ends at `whole`.
pub fn edge(whole: u64, parts: u64, index: u64) -> u64 {
    whole * index / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(kernel: Kernel, parameters: &[(&str, u64)]) -> u64 {
        let parameters: Parameters = parameters
            .iter()
            .map(|&(name, value)| (name.to_owned(), value))
            .collect();
        let chunk = kernel(&parameters);
        (0..parameters["chunks_count"])
            .map(|index| chunk(index))
            .sum()
    }

    #[test]
    fn primes_below_a_million_are_78498_however_they_are_cut() {
        for (chunks, skewed) in [(1, 0), (7, 0), (1_000, 0), (7, 1), (1_000, 1)] {
            let parameters = [
                ("chunks_count", chunks),
                ("limit_count", 1_000_000),
                ("skewed", skewed),
            ];
            assert_eq!(total(primes::KERNEL, &parameters), 78_498);
        }
    }

    #[test]
    fn queens_have_their_known_numbers_of_solutions() {
        for (size, solutions) in [(4, 2), (5, 10), (6, 4), (7, 40), (8, 92), (10, 724)] {
            assert_eq!(
                total(
                    nqueens::KERNEL,
                    &[("chunks_count", size * size), ("size_count", size)]
                ),
                solutions
            );
        }
    }

    #[test]
    fn fibonacci_numbers_are_the_known_ones_and_take_turns_over_the_chunks() {
        let chunk = fib::KERNEL(&Parameters::from([("depth_count".to_owned(), 20)]));
        let numbers = [0, 1, 2, 3, 4].map(|index| chunk(index));
        assert_eq!(numbers, [6_765, 4_181, 2_584, 1_597, 6_765]);
    }

    #[test]
    fn matrix_product_does_not_depend_on_the_cut_and_equals_the_plain_triple_sum() {
        let n = 24;
        let mut plain = 0;
        for r in 0..n {
            for c in 0..n {
                plain += (0..n)
                    .map(|k| ((r * n + k) % 7) * ((k + c * 3) % 5))
                    .sum::<u64>();
            }
        }
        for chunks in [1, 5, 24, 30] {
            assert_eq!(
                total(
                    matmul::KERNEL,
                    &[("chunks_count", chunks), ("size_count", n)]
                ),
                plain
            );
        }
    }

    #[test]
    fn mandelbrot_counts_do_not_depend_on_the_cut() {
        let of = |chunks| {
            total(
                mandelbrot::KERNEL,
                &[
                    ("chunks_count", chunks),
                    ("size_count", 16),
                    ("limit_count", 30),
                ],
            )
        };
        assert_eq!(of(1), of(16));
        assert_eq!(of(1), of(3));
        assert_eq!(
            total(
                mandelbrot::KERNEL,
                &[("chunks_count", 1), ("size_count", 16), ("limit_count", 1)]
            ),
            256
        );
    }

    #[test]
    fn lehmer_has_its_published_ten_thousandth_value() {
        // Park and Miller's check for the multiplier 48271: from 1, the 10,000th value is
        // 399268537.
        assert_eq!(lehmer::after(0, 10_000), 399_268_537);
    }

    #[test]
    fn fnv_of_the_block_equals_the_textbook_loop() {
        let mut state: u32 = 2_166_136_261;
        for _ in 0..3 {
            for j in 0..10_u32 {
                state = (state ^ ((j * 31 + 2 * 17) % 256)).wrapping_mul(16_777_619);
            }
        }
        let parameters = Parameters::from([
            ("block_bytes".to_owned(), 10),
            ("rounds_count".to_owned(), 3),
        ]);
        assert_eq!(hash::KERNEL(&parameters)(2), u64::from(state));
    }

    #[test]
    fn json_total_counts_every_field() {
        let parameters = Parameters::from([("records_count".to_owned(), 2)]);
        let value = |seed| lehmer::after(seed, 1) % 1_000;
        assert_eq!(
            json::KERNEL(&parameters)(3),
            1 + value(6) + value(7) + 2 * 3 + 2 * 8 + 1
        );
    }

    #[test]
    fn byte_sums_equal_the_plain_loop() {
        for (file, size) in [(0, 0), (0, 1), (3, 250), (3, 251), (7, 1_000), (300, 5_000)] {
            let mut block = vec![0; size as usize];
            bytes::fill(file, 0, &mut block);
            assert_eq!(
                block.iter().map(|&byte| u64::from(byte)).sum::<u64>(),
                bytes::sum(file, size)
            );
        }
        assert_eq!(
            working_set::sum(1_000),
            working_set::sum_array(&working_set::array(1_000))
        );
    }
}
