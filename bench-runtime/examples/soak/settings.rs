//! The options of the soak's command line.

use std::fmt;
use std::time::Duration;

pub(crate) const USAGE: &str = "usage: soak [--seconds S] [--procs P] [--seed N] \
[--mode pinned|migrating] [--actors A] [--timeout S] [--no-resize] [--only SCENARIO]";

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) length: Duration,
    pub(crate) procs: usize,
    pub(crate) seed: u64,
    pub(crate) migrating: bool,
    pub(crate) actors: usize,
    pub(crate) timeout: Duration,
    pub(crate) resizes: bool,
    only: Option<&'static str>,
}

impl Settings {
    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut settings = Self {
            length: Duration::from_secs(10),
            procs: 64,
            seed: 1,
            migrating: false,
            actors: 48,
            timeout: Duration::from_secs(60),
            resizes: true,
            only: None,
        };
        while let Some(flag) = args.next() {
            if flag == "--no-resize" {
                settings.resizes = false;
                continue;
            }
            let value = args.next().ok_or(format!("{flag} needs a value"))?;
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|e| format!("{flag} {value}: {e}"))
            };
            match flag.as_str() {
                "--seconds" => settings.length = Duration::from_secs(number()?),
                "--procs" => settings.procs = number()?.max(1) as usize,
                "--seed" => settings.seed = number()?,
                "--actors" => settings.actors = number()?.max(1) as usize,
                "--timeout" => settings.timeout = Duration::from_secs(number()?.max(1)),
                "--mode" if value == "pinned" => settings.migrating = false,
                "--mode" if value == "migrating" => settings.migrating = true,
                "--only" => {
                    let known = crate::SCENARIOS.iter().chain([&crate::scenarios::STUCK]);
                    let known = known.map(|(name, _)| *name);
                    settings.only = Some(
                        known
                            .into_iter()
                            .find(|name| *name == value)
                            .ok_or(format!("no scenario {value}"))?,
                    );
                }
                _ => return Err(format!("{flag} {value} is not known")),
            }
        }
        Ok(settings)
    }

    pub(crate) fn runs_stuck(&self) -> bool {
        self.only == Some(crate::scenarios::STUCK.0)
    }

    pub(crate) fn runs(&self, scenario: &str) -> bool {
        self.only.is_none_or(|only| only == scenario)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} s, {}, P = {}, {} actors, seed {}",
            self.length.as_secs(),
            if self.migrating {
                "migrating"
            } else {
                "pinned"
            },
            self.procs,
            self.actors,
            self.seed
        )
    }
}
