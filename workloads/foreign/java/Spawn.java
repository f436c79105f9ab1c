import java.util.ArrayList;
import java.util.concurrent.atomic.AtomicLong;

final class Spawn {
    private static final long MOST_LEAVES = 10_000;

    private final Threads threads;

    Spawn(Threads threads) {
        this.threads = threads;
    }

    Outcome one(Order order) throws Exception {
        var meter = new Meter();
        long sum = meter.time(() -> {
            long handed = 0;
            for (long i = 0; i < order.iterations(); i++) handed += threads.start(() -> 1).join();
            return handed;
        });
        return meter.outcome(order.iterations(), sum);
    }

    Outcome batch(Order order) throws Exception {
        long tasks = order.get("tasks_count");
        var meter = new Meter();
        long sum = meter.time(() -> {
            long handed = 0;
            for (long i = 0; i < order.iterations(); i++) handed += threads.runAll(tasks, index -> () -> index + 1);
            return handed;
        });
        return meter.outcome(order.iterations() * tasks, sum);
    }

    Outcome firstInstruction(Order order) throws Exception {
        var returns = new Latencies();
        var firsts = new Latencies();
        var finishes = new Latencies();
        var meter = new Meter();
        var first = new AtomicLong();
        long sum = meter.time(() -> {
            long handed = 0;
            for (long i = 0; i < order.iterations(); i++) {
                long called = System.nanoTime();
                var task = threads.start(() -> {
                    first.set(System.nanoTime());
                    return 1;
                });
                long returned = System.nanoTime();
                handed += task.join();
                long finished = System.nanoTime();
                returns.note(returned - called);
                firsts.note(first.get() - called);
                finishes.note(finished - first.get());
            }
            return handed;
        });
        return meter.outcome(order.iterations(), sum)
            .with("spawn_return_ns", returns.median())
            .with("first_instruction_ns", firsts.median())
            .with("finish_ns", finishes.median())
            .latency(firsts);
    }

    Outcome skynet(Order order) throws Exception {
        long leaves = order.get("leaves_count");
        if (!Long.toString(leaves).matches("10*")) throw Failure.notSupported(leaves + " leaves make no tree of tens; take a power of 10");
        if (!threads.virtual && leaves > MOST_LEAVES) {
            throw Failure.notSupported(leaves + " leaves are more threads at once than a host allows, so this lane grows " + MOST_LEAVES + " at most");
        }
        var meter = new Meter();
        long sum = meter.time(() -> {
            long handed = 0;
            for (long i = 0; i < order.iterations(); i++) handed += threads.start(() -> node(0, leaves)).join();
            return handed;
        });
        return meter.outcome(order.iterations() * leaves, sum);
    }

    private long node(long first, long leaves) throws Exception {
        if (leaves == 1) return first;
        long part = leaves / 10;
        var children = new ArrayList<Threads.Task>();
        for (long child = 0; child < 10; child++) {
            long start = first + child * part;
            children.add(threads.start(() -> node(start, part)));
        }
        return Threads.joinAll(children);
    }
}
