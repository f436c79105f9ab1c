//! `service.http`: an HTTP service with a backend.
//!
//! A request is authenticated by a hash, reads one record or three at once from the backend, and is
//! answered by JSON of about a kilobyte. `PROTOCOL.md` has the rules.

pub(crate) mod api;
pub mod backend;
pub mod database;
pub(crate) mod http;
pub(crate) mod resp;
mod store;

use std::borrow::Cow;
use std::time::Duration;

use backend::Place;
use serde::{Deserialize, Serialize};

use crate::kernels::lehmer;
use crate::lane::Order;

pub(crate) const ITEMS: u64 = 1_000;
pub(crate) const USERS: u64 = 16;
/// Few, because each right answer must be computed.
const COMPUTED_ITEMS: u64 = 8;
/// A connection silent for this long is closed.
pub(crate) const IDLE: Duration = Duration::from_secs(60);
/// The pause after an accept for which the host had no resources.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);
/// A request for this path ends the service.
pub(crate) const DRAIN: &str = "/drain";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// One record.
    Cheap,
    /// One record, and a long computation.
    Compute,
    /// Three records, read at once.
    FanOut,
    /// One record that the backend is slow to find.
    Slow,
}

impl Route {
    pub(crate) const ALL: [Self; 4] = [Self::Cheap, Self::Compute, Self::FanOut, Self::Slow];

    /// Of 200 requests one is slow, 10 compute and 20 fan out.
    pub(crate) fn of(number: u64) -> Self {
        match number {
            _ if number.is_multiple_of(200) => Self::Slow,
            _ if number % 20 == 5 => Self::Compute,
            _ if number % 10 == 3 => Self::FanOut,
            _ => Self::Cheap,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cheap => "cheap",
            Self::Compute => "compute",
            Self::FanOut => "fan-out",
            Self::Slow => "slow",
        }
    }

    pub(crate) fn at(path: &str) -> Option<Self> {
        let name = path.strip_prefix('/')?;
        Self::ALL.into_iter().find(|route| route.name() == name)
    }

    pub(crate) fn items_count(self) -> u64 {
        match self {
            Self::Compute => COMPUTED_ITEMS,
            _ => ITEMS,
        }
    }

    pub(crate) fn item(self, number: u64) -> u64 {
        lehmer::after(number, 1) % self.items_count()
    }

    pub(crate) fn items(self, item: u64) -> impl Iterator<Item = u64> {
        let count = match self {
            Self::FanOut => 3,
            _ => 1,
        };
        (item..item + count).map(|item| item % ITEMS)
    }

    pub(crate) fn key(self, item: u64) -> String {
        match self {
            Self::Slow => format!("slow:{item}"),
            _ => format!("item:{item}"),
        }
    }
}

pub(crate) fn user(number: u64) -> String {
    format!("u{}", number % USERS)
}

pub(crate) fn secret(user: &str) -> String {
    format!("secret of {user}")
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record<'a> {
    pub(crate) id: u64,
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    pub(crate) price: u64,
    #[serde(borrow)]
    pub(crate) tags: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) text: Cow<'a, str>,
}

impl Record<'_> {
    pub(crate) fn of(item: u64) -> Self {
        const WORDS: [&str; 8] = [
            "parking", "stealing", "waking", "sending", "waiting", "reading", "joining", "yielding",
        ];
        let words = (0..80 + item % 7).map(|at| WORDS[((item + at * 3) % 8) as usize]);
        Self {
            id: item,
            name: format!("item {item}").into(),
            price: lehmer::after(item, 2) % 100_000,
            tags: ["a", "b", "c"][..1 + item as usize % 3]
                .iter()
                .map(|&tag| tag.into())
                .collect(),
            text: words.collect::<Vec<_>>().join(" ").into(),
        }
    }

    pub(crate) fn check(&self) -> u64 {
        let words = self.text.split(' ').count() as u64;
        self.id + self.price % 1_000 + (self.name.len() + self.tags.len()) as u64 + words
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) in_flight: u64,
    pub(crate) pool: usize,
    pub(crate) rounds: u32,
    pub(crate) steps: u64,
    pub(crate) timeout: Duration,
    pub(crate) backend: Place,
}

impl Settings {
    pub(crate) fn new(order: &Order, backend: Place) -> Self {
        Self {
            in_flight: order.get("in_flight_count"),
            pool: order.count("pool_count"),
            rounds: order.get("rounds_count") as u32,
            steps: order.get("steps_count"),
            timeout: Duration::from_nanos(order.get("timeout_ns")),
            backend,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_hundred_requests_one_is_slow_ten_compute_and_twenty_fan_out() {
        let count = |wanted| (0..200).filter(|&n| Route::of(n) == wanted).count();
        assert_eq!(Route::ALL.map(count), [169, 10, 20, 1]);
        for route in Route::ALL {
            assert_eq!(Route::at(&format!("/{}", route.name())), Some(route));
        }
        assert_eq!(Route::at("cheap"), None);
    }

    #[test]
    fn record_survives_json_and_takes_most_of_a_kilobyte() {
        for item in 0..ITEMS {
            let text = serde_json::to_string(&Record::of(item)).unwrap();
            assert!((600..900).contains(&text.len()), "{text}");
            let read: Record<'_> = serde_json::from_str(&text).unwrap();
            assert_eq!(
                (read.check(), &read),
                (Record::of(item).check(), &Record::of(item))
            );
        }
        // Two tags and 80 words, counted by hand.
        let seven = Record::of(7);
        let right = 7 + seven.price % 1_000 + "item 7".len() as u64 + 2 + 80;
        assert_eq!(seven.check(), right);
    }
}
