#![allow(missing_docs)]
use bench_runtime::*;
use std::time::Instant;
fn best(n: u32, mut f: impl FnMut() -> u64) -> f64 {
    (0..n)
        .map(|_| {
            let t = Instant::now();
            let ops = f();
            t.elapsed().as_nanos() as f64 / ops as f64
        })
        .fold(f64::MAX, f64::min)
}
fn main() {
    for (mig, p) in [(true, 1), (false, 1), (true, 2), (false, 2)] {
        let b = Runtime::builder().procs(p);
        let rt = if mig { unsafe { b.migrating() } } else { b }
            .build()
            .unwrap();
        let r = rt.run(move || {
            let batch = best(200, || {
                let hs: Vec<_> = (0..1000u64).map(|i| go(move || i)).collect();
                for h in hs {
                    h.join().unwrap();
                }
                1000
            });
            let one = best(50, || {
                for i in 0..1000u64 {
                    go(move || i).join().unwrap();
                }
                1000
            });
            let yy = best(30, || {
                let a = go(|| {
                    for _ in 0..10000 {
                        yield_now()
                    }
                });
                for _ in 0..10000 {
                    yield_now()
                }
                a.join().unwrap();
                20000
            });
            let ym = best(10, || {
                let hs: Vec<_> = (0..1000)
                    .map(|_| {
                        go(|| {
                            for _ in 0..100 {
                                yield_now()
                            }
                        })
                    })
                    .collect();
                for h in hs {
                    h.join().unwrap();
                }
                100000
            });
            let pp = best(20, || {
                let (a, b) = chan::<u64>(0);
                let (c, d) = chan::<u64>(0);
                let h = go(move || {
                    while let Some(v) = b.recv() {
                        if c.send(v).is_err() {
                            break;
                        }
                    }
                });
                for i in 0..10000 {
                    a.send(i).unwrap();
                    d.recv();
                }
                drop(a);
                h.join().unwrap();
                10000
            });
            let pb = best(20, || {
                let (a, b) = chan::<u64>(128);
                let h = go(move || {
                    let mut s = 0;
                    while let Some(v) = b.recv() {
                        s += v;
                    }
                    s
                });
                for i in 0..100000 {
                    a.send(i).unwrap();
                }
                drop(a);
                h.join().unwrap();
                100000
            });
            [batch, one, yy, ym, pp, pb]
        });
        println!(
            "mig={mig} P={p} batch {:.1} one {:.1} yield2 {:.1} yield1000 {:.1} pingpong {:.1} buffered {:.1}  {:?}",
            r[0],
            r[1],
            r[2],
            r[3],
            r[4],
            r[5],
            rt.metrics()
        );
        rt.shutdown();
    }
}
