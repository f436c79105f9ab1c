//! A generator that every language computes exactly, because products stay below 2^48 (Park and
//! Miller 1988, multiplier of 1993).

const MODULUS: u64 = 2_147_483_647;

pub(crate) fn next(x: u64) -> u64 {
    x * 48_271 % MODULUS
}

pub(crate) fn after(seed: u64, steps: u64) -> u64 {
    let mut x = seed % (MODULUS - 1) + 1;
    for _ in 0..steps {
        x = next(x);
    }
    x
}
