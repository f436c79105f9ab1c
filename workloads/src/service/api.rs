use std::borrow::Cow;

use pbkdf2::pbkdf2_hmac;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{Record, Route, USERS, secret, user};
use crate::kernels::lehmer;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) item: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    Malformed,
    Unknown,
    NoSuchPath,
    TooManyRequests,
    Backend,
    BackendIsLate,
}

impl Problem {
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Unknown => 401,
            Self::NoSuchPath => 404,
            Self::TooManyRequests => 503,
            Self::Backend => 502,
            Self::BackendIsLate => 504,
        }
    }

    pub(crate) fn body(self) -> Vec<u8> {
        let what = match self {
            Self::Malformed => "this is no request of this service",
            Self::Unknown => "the key is wrong",
            Self::NoSuchPath => "there is nothing at this path",
            Self::TooManyRequests => "too many requests at the same time",
            Self::Backend => "the backend did not answer",
            Self::BackendIsLate => "the backend did not answer in time",
        };
        format!(r#"{{"error":"{what}"}}"#).into_bytes()
    }
}

#[derive(Debug)]
pub(crate) struct Users {
    rounds: u32,
    hashes: Vec<(String, [u8; 32])>,
}

impl Users {
    pub(crate) fn new(rounds: u32) -> Self {
        let known = |number| {
            let user = user(number);
            let hash = hash(&user, &secret(&user), rounds);
            (user, hash)
        };
        Self {
            rounds,
            hashes: (0..USERS).map(known).collect(),
        }
    }

    pub(crate) fn user(&self, authorization: &str) -> Result<&str, Problem> {
        let (name, given) = authorization
            .strip_prefix("Bearer ")
            .and_then(|token| token.split_once(':'))
            .ok_or(Problem::Unknown)?;
        let known = self.hashes.iter().find(|(user, _)| user == name);
        let (user, right) = known.ok_or(Problem::Unknown)?;
        let given = hash(user, given, self.rounds);
        // All bytes are compared, so the time does not depend on the first difference.
        let differing = given.iter().zip(right).fold(0, |all, (a, b)| all | (a ^ b));
        match differing {
            0 => Ok(user),
            _ => Err(Problem::Unknown),
        }
    }
}

/// PBKDF2 with HMAC-SHA-256; the salt is the user's name.
fn hash(user: &str, secret: &str, rounds: u32) -> [u8; 32] {
    let mut hash = [0; 32];
    pbkdf2_hmac::<Sha256>(secret.as_bytes(), user.as_bytes(), rounds, &mut hash);
    hash
}

pub(crate) fn item(body: &[u8]) -> Result<u64, Problem> {
    let question: Question = serde_json::from_slice(body).map_err(|_| Problem::Malformed)?;
    Ok(question.item % super::ITEMS)
}

pub(crate) fn compute(route: Route, item: u64, steps: u64) -> u64 {
    match route {
        Route::Compute => lehmer::after(item, steps) % 1_000,
        _ => 0,
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    route: &'static str,
    user: &'a str,
    item: u64,
    total: u64,
    records: Vec<Shown<'a>>,
    check: u64,
}

#[derive(Serialize)]
struct Shown<'a> {
    id: u64,
    name: Cow<'a, str>,
    price: u64,
    tags: Vec<Cow<'a, str>>,
    text: &'a str,
}

pub(crate) fn answer(
    route: Route,
    user: &str,
    item: u64,
    computed: u64,
    values: &[Vec<u8>],
) -> Result<Vec<u8>, Problem> {
    let records = values
        .iter()
        .map(|value| serde_json::from_slice(value))
        .collect::<Result<Vec<Record<'_>>, _>>()
        .map_err(|_| Problem::Backend)?;
    // How much of each text to show, for an answer of about a kilobyte.
    let text_bytes = 600 / records.len().max(1);
    let answer = Answer {
        route: route.name(),
        user,
        item,
        total: records.iter().map(|record| record.price).sum(),
        check: computed + records.iter().map(Record::check).sum::<u64>(),
        records: records
            .iter()
            .map(|record| Shown {
                id: record.id,
                name: record.name.clone(),
                price: record.price,
                tags: record.tags.clone(),
                text: record.text.get(..text_bytes).unwrap_or(&record.text),
            })
            .collect(),
    };
    serde_json::to_vec(&answer).map_err(|_| Problem::Backend)
}

pub(crate) fn right_check(route: Route, item: u64, steps: u64) -> u64 {
    let records: u64 = route.items(item).map(|item| Record::of(item).check()).sum();
    records + compute(route, item, steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_pbkdf2_with_hmac_sha_256() {
        // From RFC 7914, section 11.
        let first: [u8; 8] = [0x55, 0xac, 0x04, 0x6e, 0x56, 0xe3, 0x08, 0x9f];
        assert_eq!(hash("salt", "passwd", 1)[..8], first);
    }

    #[test]
    fn only_the_right_secret_of_a_known_user_is_accepted() {
        let users = Users::new(3);
        assert_eq!(users.user("Bearer u7:secret of u7"), Ok("u7"));
        for wrong in [
            "Bearer u7:secret of u6",
            "Bearer u16:secret of u16",
            "Bearer u7",
            "Basic u7:secret of u7",
            "",
        ] {
            assert_eq!(users.user(wrong), Err(Problem::Unknown), "{wrong}");
        }
    }

    #[test]
    fn an_answer_of_any_route_has_about_a_kilobyte_and_the_right_number() {
        for route in Route::ALL {
            for item in [0, 7, 999] {
                let records = route.items(item).map(Record::of);
                let values: Vec<_> = records
                    .map(|one| serde_json::to_vec(&one).unwrap())
                    .collect();
                let computed = compute(route, item, 50);
                let text = answer(route, "u3", item, computed, &values).unwrap();
                assert!(
                    (650..1_300).contains(&text.len()),
                    "{route:?}: {}",
                    text.len()
                );
                let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
                assert_eq!(
                    read["check"],
                    right_check(route, item, 50),
                    "{route:?} {item}"
                );
                assert_eq!(read["records"].as_array().map(Vec::len), Some(values.len()));
            }
        }
        assert_eq!(
            answer(Route::Cheap, "u3", 1, 0, &[b"nonsense".to_vec()]),
            Err(Problem::Backend)
        );
    }
}
