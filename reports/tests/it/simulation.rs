//! The statistics on data whose true values are known.
//!
//! The short forms run with the other tests, with wide bounds. The long form prints the table of
//! `METHOD.md`: `cargo test --release -p reports simulation -- --ignored --nocapture`.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use reports::stats::bootstrap::{Ratio, Replicates, Tree};
use reports::stats::looks::LOOKS;
use reports::stats::shift::{Design as Pairing, averages, half_width, shift};
use reports::stats::verdict::{Bound, Comparison, Verdict, verdicts};
use reports::stats::{FALSE_DISCOVERY_RATE, FALSE_DISCOVERY_RATE_OF_LOOKS};

/// Each level of a simulated lane is log-normal with this spread; some samples are disturbed.
#[derive(Clone, Copy)]
struct Spread {
    process: f64,
    block: f64,
    sample: f64,
    /// One sample in this many takes 1.5 times as long.
    hit_one_in: u32,
}

const QUIET: Spread = Spread {
    process: 0.01,
    block: 0.005,
    sample: 0.02,
    hit_one_in: 50,
};
const NOISY: Spread = Spread {
    process: 0.04,
    block: 0.02,
    sample: 0.05,
    hit_one_in: 20,
};

#[derive(Clone, Copy)]
struct Design {
    processes: usize,
    blocks: usize,
    samples: usize,
}

const STANDARD: Design = Design {
    processes: 5,
    blocks: 1,
    samples: 3,
};
const FULL: Design = Design {
    processes: 10,
    blocks: 1,
    samples: 3,
};

fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    // The Box–Muller method; 1 - u keeps the logarithm finite.
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn lane(rng: &mut Xoshiro256PlusPlus, centre: f64, spread: Spread, design: Design) -> Tree {
    (0..design.processes)
        .map(|_| {
            let process = centre * (spread.process * normal(rng)).exp();
            (0..design.blocks)
                .map(|_| {
                    let block = process * (spread.block * normal(rng)).exp();
                    (0..design.samples)
                        .map(|_| {
                            let hit = rng.random_range(0..spread.hit_one_in) == 0;
                            let slow = if hit { 1.5 } else { 1.0 };
                            block * (spread.sample * normal(rng)).exp() * slow
                        })
                        .collect()
                })
                .collect()
        })
        .collect()
}

/// What an interval should contain: the median of very many processes.
fn truth(spread: Spread, design: Design) -> f64 {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(99);
    let many = Design {
        processes: 40_001,
        ..design
    };
    let tree = lane(&mut rng, 100.0, spread, many);
    Replicates::of_median_times(&tree, 0, 0)
        .expect("values")
        .value
}

fn coverage(spread: Spread, design: Design, times: usize, resamples: usize) -> f64 {
    let truth = truth(spread, design);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let covered = (0..times)
        .filter(|&time| {
            let tree = lane(&mut rng, 100.0, spread, design);
            Replicates::of_median_times(&tree, time as u64, resamples)
                .and_then(|replicates| replicates.interval())
                .expect("several processes")
                .contains(truth)
        })
        .count();
    covered as f64 / times as f64
}

/// Modes of a lane's processes on a small virtual machine: factor and share of each, and the spread
/// within a mode.
const MODES: ([(f64, f64); 3], f64) = ([(1.0, 0.6), (1.45, 0.3), (0.65, 0.1)], 0.03);

const BOUND: Bound = Bound {
    threshold_ratio: 0.05,
    noise_ratio: 0.0,
};

/// One process of each build. The host affects both alike.
fn pair(rng: &mut Xoshiro256PlusPlus, slowdown: f64) -> (f64, f64) {
    let host = (0.03 * normal(rng)).exp();
    let mut process = |factor: f64| {
        let (modes, spread) = MODES;
        let mut share: f64 = rng.random();
        let mode = modes.iter().find(|(_, of_all)| {
            share -= of_all;
            share < 0.0
        });
        let mode = mode.map_or(1.0, |(mode, _)| *mode);
        100.0 * factor * host * mode * (spread * normal(rng)).exp()
    };
    (process(1.0), process(slowdown))
}

struct Compared {
    rounds: usize,
    ratio: Ratio,
}

fn both_builds(rng: &mut Xoshiro256PlusPlus, slowdown: f64, rounds: usize) -> (Vec<f64>, Vec<f64>) {
    (0..rounds).map(|_| pair(rng, slowdown)).unzip()
}

fn by_medians(rng: &mut Xoshiro256PlusPlus, slowdown: f64, rounds: usize) -> Compared {
    let (base, new) = both_builds(rng, slowdown, rounds);
    let draw = |side: &[f64]| {
        let tree: Tree = side.iter().map(|one| vec![vec![*one]]).collect();
        Replicates::of_median_times(&tree, 1, 1_000).expect("values")
    };
    let ratio = draw(&new).ratio(&draw(&base));
    Compared { rounds, ratio }
}

fn by_shift(rng: &mut Xoshiro256PlusPlus, slowdown: f64, rounds: usize) -> Compared {
    let (base, new) = both_builds(rng, slowdown, rounds);
    let ratio = shift(&new, &base, Pairing::Paired).expect("enough");
    Compared { rounds, ratio }
}

/// Compares by the shift, as `threadbare run --base` does: after 10 rounds, and then after every
/// 2 more, until the interval is within 4% or there are `most` rounds.
fn until_narrow(rng: &mut Xoshiro256PlusPlus, slowdown: f64, most: usize) -> Compared {
    let (base, new) = both_builds(rng, slowdown, most);
    let mut rounds = 10;
    loop {
        let ratio = shift(&new[..rounds], &base[..rounds], Pairing::Paired).expect("enough");
        if rounds >= most || half_width(&ratio).is_some_and(|width| width <= 0.04) {
            return Compared { rounds, ratio };
        }
        rounds += 2;
    }
}

type Comparer = fn(&mut Xoshiro256PlusPlus, f64, usize) -> Compared;

/// The shares of `times` comparisons whose interval contains the slowdown, whose verdict is *same*,
/// and whose verdict is a difference. Last, the mean number of rounds.
fn judged(comparer: Comparer, slowdown: f64, rounds: usize, times: usize) -> [f64; 4] {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
    let mut sums = [0.0; 4];
    for _ in 0..times {
        let Compared { rounds, ratio } = comparer(&mut rng, slowdown, rounds);
        let interval = ratio.interval.expect("enough");
        let page = [Comparison::new(ratio, BOUND)];
        let verdict = verdicts(&page, FALSE_DISCOVERY_RATE)[0];
        let told = matches!(verdict, Verdict::Faster | Verdict::Slower);
        sums[0] += f64::from(interval.contains(slowdown));
        sums[1] += f64::from(verdict == Verdict::Same);
        sums[2] += f64::from(told);
        sums[3] += rounds as f64;
    }
    sums.map(|sum| sum / times as f64)
}

#[test]
fn stopping_at_a_narrow_interval_keeps_the_coverage() {
    let [covered, same, told, rounds] = judged(until_narrow, 1.0, 200, 200);
    assert!(covered > 0.91, "covered {covered}");
    assert!(same > 0.9, "same {same} in {rounds} rounds");
    assert!(told < 0.02, "told {told}");
    let [covered, _, told, _] = judged(until_narrow, 1.1, 200, 200);
    assert!(covered > 0.91, "covered {covered}");
    assert!(told > 0.9, "told {told}");
}

#[test]
fn shift_finds_a_slowdown_more_often_than_the_medians() {
    let [.., by_medians, _] = judged(by_medians, 1.1, 40, 100);
    let [covered, _, by_shift, _] = judged(by_shift, 1.1, 40, 100);
    assert!(covered > 0.9, "covered {covered}");
    assert!(by_shift > by_medians, "{by_shift} {by_medians}");
}

#[test]
#[ignore = "takes minutes: the long form, for METHOD.md"]
fn long_form_of_two_builds_for_the_method_document() {
    println!(
        "| method | rounds | coverage | repeats *same* | repeats called different | 5% found | 10% found |"
    );
    println!("|---|---|---|---|---|---|---|");
    let methods: [(&str, Comparer, usize); 6] = [
        ("ratio of medians", by_medians, 10),
        ("ratio of medians", by_medians, 40),
        ("shift", by_shift, 10),
        ("shift", by_shift, 40),
        ("shift", by_shift, 80),
        ("shift, until within 4%", until_narrow, 200),
    ];
    for (name, method, rounds) in methods {
        let percent = |share: f64| format!("{:.1}%", 100.0 * share);
        let [covered, same, told, took] = judged(method, 1.0, rounds, 2_000);
        let [_, _, five, _] = judged(method, 1.05, rounds, 1_000);
        let [_, _, ten, _] = judged(method, 1.10, rounds, 1_000);
        println!(
            "| {name} | {took:.0} | {} | {} | {} | {} | {} |",
            percent(covered),
            percent(same),
            percent(told),
            percent(five),
            percent(ten)
        );
    }
}

#[test]
fn interval_of_a_median_covers_the_truth_in_nine_of_ten_cases() {
    let share = coverage(NOISY, STANDARD, 300, 600);
    assert!(share > 0.91, "covered {share}");
}

#[derive(Clone, Copy)]
enum Host {
    Spread(Spread),
    Modes,
}

const HOSTS: [(&str, Host); 3] = [
    ("quiet", Host::Spread(QUIET)),
    ("noisy", Host::Spread(NOISY)),
    ("several modes", Host::Modes),
];

/// One process of each lane. The second lane costs `factor` times as much.
fn round(rng: &mut Xoshiro256PlusPlus, host: Host, factor: f64) -> (f64, f64) {
    let Host::Spread(spread) = host else {
        return pair(rng, factor);
    };
    let one = Design {
        processes: 1,
        ..STANDARD
    };
    let mut process = |centre| {
        let tree = lane(rng, centre, spread, one);
        let figure = Replicates::of_median_times(&tree, 0, 0).expect("values");
        figure.value
    };
    (process(100.0), process(100.0 * factor))
}

struct Outcome {
    processes: usize,
    ratio: Ratio,
    verdict: Verdict,
}

/// Compares two lanes as a run does, at each look, until there is a verdict. The page has 19 other
/// comparisons, of which 14 are clear.
fn until_decided(rng: &mut Xoshiro256PlusPlus, host: Host, factor: f64, looks: &[u64]) -> Outcome {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    let mut outcome = None;
    for &look in looks {
        while (ours.len() as u64) < look {
            let (their, our) = round(rng, host, factor);
            theirs.push(their);
            ours.push(our);
        }
        let ratio = shift(&ours, &theirs, Pairing::Paired).expect("enough");
        let one = Comparison {
            ratio,
            average: averages(&ours, &theirs, Pairing::Paired),
            bound: BOUND,
        };
        let other = |p_value| {
            let ratio = Ratio { p_value, ..ratio };
            Comparison::new(ratio, BOUND)
        };
        let mut page = vec![one];
        page.extend((0..14).map(|_| other(0.0)));
        page.extend((0..5).map(|_| other(1.0)));
        let verdict = verdicts(&page, FALSE_DISCOVERY_RATE_OF_LOOKS)[0];
        let processes = ours.len();
        let found = Outcome {
            processes,
            ratio,
            verdict,
        };
        if verdict.is_decided() {
            return found;
        }
        outcome = Some(found);
    }
    outcome.expect("a look")
}

#[derive(Default)]
struct Shares {
    covered: f64,
    same: f64,
    told: f64,
    wrong_way: f64,
    processes: f64,
}

fn shares(host: Host, factor: f64, looks: &[u64], times: usize) -> Shares {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let mut sum = Shares::default();
    let each = 1.0 / times as f64;
    for _ in 0..times {
        let outcome = until_decided(&mut rng, host, factor, looks);
        let interval = outcome.ratio.interval.expect("enough");
        sum.covered += each * f64::from(interval.contains(factor));
        sum.same += each * f64::from(outcome.verdict == Verdict::Same);
        sum.told += each * f64::from(outcome.verdict.is_difference());
        sum.wrong_way += each * f64::from(outcome.verdict == Verdict::Faster);
        sum.processes += each * outcome.processes as f64;
    }
    sum
}

#[test]
fn comparison_repeated_until_it_is_decided_rarely_errs() {
    for (name, host) in HOSTS {
        let repeats = shares(host, 1.0, &LOOKS[..7], 200);
        assert!(repeats.told <= 0.015, "{name}: told {}", repeats.told);
        assert!(repeats.covered > 0.9, "{name}: covered {}", repeats.covered);
        let twice = shares(host, 2.0, &LOOKS[..7], 100);
        assert!(twice.told > 0.95, "{name}: found {}", twice.told);
        assert_eq!(twice.wrong_way, 0.0, "{name}");
    }
}

#[test]
fn slowdown_of_a_tenth_is_found_on_a_quiet_host_within_seven_processes() {
    let found = shares(HOSTS[0].1, 1.1, &LOOKS[..2], 100);
    assert!(found.told > 0.9, "found {}", found.told);
}

#[test]
#[ignore = "takes minutes: the long form, for METHOD.md"]
fn long_form_for_the_method_document() {
    let percent = |share: f64| format!("{:.1}%", 100.0 * share);
    println!("| host | interval of a figure, 5 processes | 10 processes |");
    println!("|---|---|---|");
    for (name, spread) in [("quiet", QUIET), ("noisy", NOISY)] {
        let of = |design| percent(coverage(spread, design, 2_000, 2_000));
        println!("| {name} | {} | {} |", of(STANDARD), of(FULL));
    }
    println!();
    println!(
        "| host | looks | processes: repeats · 10% | coverage: repeats · 10% | repeats *same* | repeats called different | 5% found | 10% found | 10% called *same* | 20% found |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (name, host) in HOSTS {
        for (which, looks) in [
            ("one, at 5", &LOOKS[..1]),
            ("one, at 10", &LOOKS[2..3]),
            ("5 to 20", &LOOKS[..5]),
            ("5 to 200", &LOOKS[..]),
        ] {
            let repeats = shares(host, 1.0, looks, 4_000);
            let of = |factor| shares(host, factor, looks, 1_000);
            let (five, ten, twenty) = (of(1.05), of(1.10), of(1.20));
            println!(
                "| {name} | {which} | {:.1} · {:.1} | {} · {} | {} | {} | {} | {} | {} | {} |",
                repeats.processes,
                ten.processes,
                percent(repeats.covered),
                percent(ten.covered),
                percent(repeats.same),
                percent(repeats.told),
                percent(five.told),
                percent(ten.told),
                percent(ten.same),
                percent(twenty.told)
            );
        }
    }
}
