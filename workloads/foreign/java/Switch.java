import java.util.ArrayList;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.atomic.AtomicBoolean;

final class Switch {
    private final Threads threads;

    Switch(Threads threads) {
        this.threads = threads;
    }

    Outcome yields(Order order) throws Exception {
        long tasks = order.get("tasks_count");
        long yields = order.total("yields_count");
        var team = threads.new Team();
        for (long i = 0; i < tasks; i++) {
            team.add(() -> {
                long done = 0;
                for (; done < yields; done++) Thread.yield();
                return done;
            });
        }
        return team.timed(tasks * yields);
    }

    Outcome pingPong(Order order) throws Exception {
        return rally(order, 0);
    }

    Outcome roundTrip(Order order) throws Exception {
        if (order.orCpus("workers_count") != Proc.cpus()) {
            throw Failure.notSupported("the JVM's threads run on all CPUs of the lane, and Java cannot pin them");
        }
        return rally(order, order.get("capacity_count"));
    }

    private Outcome rally(Order order, long capacity) throws Exception {
        long rounds = order.total("rounds_count");
        BlockingQueue<Long> there = Threads.channel(capacity);
        BlockingQueue<Long> back = Threads.channel(capacity);
        var team = threads.new Team();
        team.add(() -> {
            for (long i = 0; i < rounds; i++) back.put(there.take() + 1);
            return 0;
        });
        return team.serve(rounds, () -> {
            long value = 0;
            for (long i = 0; i < rounds; i++) {
                there.put(value);
                value = back.take();
            }
            return value;
        });
    }

    Outcome pipe(Order order) throws Exception {
        long rounds = order.total("rounds_count");
        try (var pipes = new NumberPipe.Row(2)) {
            var team = threads.new Team();
            team.add(() -> pipes.get(0).passOn(pipes.get(1), rounds));
            return team.serve(rounds, () -> {
                long value = 0;
                for (long i = 0; i < rounds; i++) {
                    pipes.get(0).write(value);
                    value = pipes.get(1).read();
                }
                return value;
            });
        }
    }

    Outcome ring(Order order) throws Exception {
        return ring(order, 0);
    }

    Outcome workingSet(Order order) throws Exception {
        long size = order.get("size_bytes");
        if (size == 0) return ring(order, 0);
        long tasks = order.get("tasks_count");
        var arrays = new ArrayList<byte[]>();
        for (long i = 0; i < tasks; i++) arrays.add(WorkingSet.array(size));
        long start = System.nanoTime();
        long alone = 0;
        for (int i = 0; i < 4; i++) {
            for (var array : arrays) alone += WorkingSet.goOver(array);
        }
        double perHop = (double) (System.nanoTime() - start) / (4 * tasks);
        if (alone < 0) throw new AssertionError("a sum of bytes is never negative");
        return ring(order, size).with("sum_alone_ns", perHop);
    }

    /** Sends a token around a ring. Each task reads `size` bytes of its own on every hop. */
    private Outcome ring(Order order, long size) throws Exception {
        long tasks = order.get("tasks_count");
        long hops = order.total("hops_count");
        var channels = new ArrayList<BlockingQueue<Long>>();
        for (long i = 0; i < tasks; i++) channels.add(Threads.channel(1));
        BlockingQueue<Long> end = Threads.channel(1);
        var team = threads.new Team();
        for (int i = 0; i < tasks; i++) {
            long turns = hops / tasks + (i < hops % tasks ? 1 : 0);
            var from = channels.get(i);
            var to = channels.get((int) ((i + 1) % tasks));
            team.add(() -> {
                var array = WorkingSet.array(size);
                long sum = 0;
                for (long turn = 0; turn < turns; turn++) {
                    long value = from.take() + 1;
                    sum += WorkingSet.goOver(array);
                    (value == hops ? end : to).put(value);
                }
                return sum;
            });
        }
        return team.serve(hops, () -> {
            channels.get(0).put(0L);
            return end.take();
        });
    }

    Outcome hog(Order order) throws Exception {
        long hogs = order.orCpus("hogs_count");
        long ns = order.get("hog_ns");
        long tick = order.get("tick_ns");
        var delays = new Latencies();
        var slept = new AtomicBoolean();
        var stop = new AtomicBoolean();
        var victim = threads.start(() -> {
            for (long due = System.nanoTime() + tick; !stop.get(); slept.set(true)) {
                long rest = Math.max(due - System.nanoTime(), 0);
                Thread.sleep(rest / 1_000_000, (int) (rest % 1_000_000));
                for (long woken = System.nanoTime(); due - woken <= 0; due += tick) delays.note(woken - due);
            }
            return 0;
        });
        Threads.waitUntil(slept::get);
        var meter = new Meter();
        long sum;
        try {
            sum = meter.time(() -> {
                long handed = 0;
                for (long i = 0; i < order.iterations(); i++) handed += threads.runAll(hogs, index -> () -> spin(ns));
                return handed / hogs;
            });
        } finally {
            stop.set(true);
            victim.join();
        }
        return meter.outcome(order.iterations(), sum)
            .with("worst_delay_ns", delays.worst())
            .with("missed_ticks_ratio", delays.shareFrom(tick))
            .ticks(delays, tick);
    }

    private static long spin(long ns) {
        long end = System.nanoTime() + ns;
        while (System.nanoTime() < end) {
            // Nothing but the clock is read.
        }
        return 1;
    }

    Outcome idleWake(Order order) throws Exception {
        long rounds = order.total("rounds_count");
        long idle = order.get("idle_ns");
        BlockingQueue<Long> there = Threads.channel(0);
        BlockingQueue<Long> back = Threads.channel(0);
        var team = threads.new Team();
        team.add(() -> {
            for (long i = 0; i < rounds; i++) {
                long sent = there.take();
                back.put(System.nanoTime() - sent);
            }
            return 0;
        });
        var wakes = new Latencies();
        return team.serve(rounds, () -> {
            for (long i = 0; i < rounds; i++) {
                if (idle > 0) Thread.sleep(idle / 1_000_000, (int) (idle % 1_000_000));
                there.put(System.nanoTime());
                wakes.note(back.take());
            }
            return wakes.count();
        }).with("wake_ns", wakes.median()).latency(wakes);
    }
}
