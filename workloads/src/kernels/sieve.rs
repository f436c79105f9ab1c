/// The primes up to and including `limit`, in order.
pub(crate) fn primes_up_to(limit: u64) -> impl Iterator<Item = u64> {
    (2..=limit).filter(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0))
}
