//! Power series as networks of goroutines that compute on demand. After D.
//! McIlroy, "Squinting at Power Series".

use std::collections::VecDeque;
use std::ops::{Add, Mul};

use bench_runtime::{Receiver, Sender, chan, select};

use crate::support::{Way, everywhere};

/// An exact fraction in lowest terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rational {
    numerator: i128,
    denominator: i128,
}

fn rational(numerator: i128, denominator: i128) -> Rational {
    let (mut a, mut b) = (numerator.abs(), denominator);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Rational {
        numerator: numerator / a.max(1),
        denominator: denominator / a.max(1),
    }
}

impl Add for Rational {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        rational(
            self.numerator * other.denominator + other.numerator * self.denominator,
            self.denominator * other.denominator,
        )
    }
}

impl Mul for Rational {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        rational(
            self.numerator * other.numerator,
            self.denominator * other.denominator,
        )
    }
}

/// The coefficients, beginning with that of x⁰.
type Series = Receiver<Rational>;

/// A series that a task computes; it ends when its receiver is dropped.
fn series(way: Way, f: impl FnOnce(&Sender<Rational>) -> Option<()> + Send + 'static) -> Series {
    let (tx, rx) = chan(0);
    drop(way.go(move || f(&tx)));
    rx
}

fn all_of(from: &Series, to: &Sender<Rational>) -> Option<()> {
    from.iter().try_for_each(|c| to.send(c).ok())
}

fn ones(way: Way) -> Series {
    series(way, |to| {
        loop {
            to.send(rational(1, 1)).ok()?;
        }
    })
}

fn add(way: Way, a: Series, b: Series) -> Series {
    series(way, move |to| {
        loop {
            to.send(a.recv()? + b.recv()?).ok()?;
        }
    })
}

fn scale(way: Way, by: Rational, a: Series) -> Series {
    series(way, move |to| {
        a.iter().try_for_each(|c| to.send(by * c).ok())
    })
}

/// `first` + x·a
fn shift(way: Way, first: Rational, a: Series) -> Series {
    series(way, move |to| {
        to.send(first).ok()?;
        all_of(&a, to)
    })
}

/// The same series twice; the second reader may lag behind the first.
fn split(way: Way, a: Series) -> (Series, Series) {
    let ((tx1, rx1), (tx2, rx2)) = (chan(0), chan(0));
    drop(way.go(move || {
        let (mut queue1, mut queue2) = (VecDeque::new(), VecDeque::new());
        let (mut next1, mut next2) = (None, None);
        loop {
            next1 = next1.or_else(|| queue1.pop_front());
            next2 = next2.or_else(|| queue2.pop_front());
            // Only the first reader causes a receive. The second may feed its values into the
            // series itself; if it caused a receive too, the series would compute without end.
            let source = next1.is_none().then_some(&a);
            select! {
                recv(source) -> c => {
                    let Some(c) = c else { return };
                    queue1.push_back(c);
                    queue2.push_back(c);
                }
                send_from(tx1, next1) -> sent => if sent.is_err() { return },
                send_from(tx2, next2) -> sent => if sent.is_err() { return },
            }
        }
    }));
    (rx1, rx2)
}

fn mul(way: Way, a: Series, b: Series) -> Series {
    series(way, move |to| {
        let (a0, b0) = (a.recv()?, b.recv()?);
        to.send(a0 * b0).ok()?;
        let ((a1, a2), (b1, b2)) = (split(way, a), split(way, b));
        let cross = add(way, scale(way, a0, b1), scale(way, b0, a1));
        let rest = shift(way, rational(0, 1), mul(way, a2, b2));
        all_of(&add(way, cross, rest), to)
    })
}

/// first + ∫ a
fn integral(way: Way, first: Rational, a: Series) -> Series {
    series(way, move |to| {
        to.send(first).ok()?;
        for n in 1.. {
            to.send(a.recv()? * rational(1, n)).ok()?;
        }
        None
    })
}

fn take(a: &Series, count: usize) -> Vec<Rational> {
    a.iter().take(count).collect()
}

#[test]
fn products_of_series_are_exact() {
    everywhere(|way| {
        let count = way.count(4, 12);
        let square = mul(way, ones(way), ones(way));
        let expected: Vec<_> = (1..=count as i128).map(|n| rational(n, 1)).collect();
        assert_eq!(take(&square, count), expected);
    });
}

#[test]
fn the_exponential_comes_from_its_own_derivative() {
    everywhere(|way| {
        // E = 1 + ∫ E, by feeding the series back to itself.
        let (tx, feedback) = chan(0);
        let e = integral(way, rational(1, 1), feedback);
        let (answer, back) = split(way, e);
        drop(way.go(move || all_of(&back, &tx)));
        let mut factorial = 1;
        let expected: Vec<_> = (0..12)
            .map(|n| {
                factorial *= (n as i128).max(1);
                rational(1, factorial)
            })
            .collect();
        assert_eq!(take(&answer, 12), expected);
    });
}
