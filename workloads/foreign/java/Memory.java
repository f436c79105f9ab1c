import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

final class Memory {
    private final Threads threads;

    Memory(Threads threads) {
        this.threads = threads;
    }

    /** The body of a task: gets its number and a function that waits. */
    private interface Body {
        long run(long index, Descend.Bottom wait) throws Exception;
    }

    Outcome parked(Order order) throws Exception {
        return hold(order, (index, wait) -> {
            wait.reached();
            return index + 1;
        });
    }

    Outcome deep(Order order) throws Exception {
        long levels = order.get("levels_count");
        return hold(order, (index, wait) -> Descend.descend(levels, wait));
    }

    Outcome shrink(Order order) throws Exception {
        long levels = order.get("levels_count");
        return hold(order, (index, wait) -> {
            long depth = Descend.descend(levels, () -> {});
            wait.reached();
            return depth;
        });
    }

    private Outcome hold(Order order, Body body) throws Exception {
        long count = order.get("tasks_count");
        // Costs that only the first task has are not counted.
        new Waiting(1, body).end();
        // Memory that earlier objects have left is not counted either.
        System.gc();
        Lane.readMemory();
        var meter = new Meter();
        var waiting = new Waiting[1];
        meter.time(() -> {
            waiting[0] = new Waiting(count, body);
            return 0;
        });
        TimeUnit.NANOSECONDS.sleep(order.get("wait_ns"));
        Lane.readMemory();
        return meter.outcome(count, waiting[0].end());
    }

    private final class Waiting {
        private final CountDownLatch gate = new CountDownLatch(1);
        private final AtomicLong arrived = new AtomicLong();
        private final List<Threads.Task> tasks;

        Waiting(long count, Body body) throws Exception {
            tasks = new ArrayList<>((int) count);
            Descend.Bottom wait = () -> {
                arrived.incrementAndGet();
                gate.await();
            };
            try {
                for (long i = 0; i < count; i++) {
                    long index = i;
                    tasks.add(threads.start(() -> body.run(index, wait)));
                }
            } catch (OutOfMemoryError error) {
                int started = tasks.size();
                end();
                throw Failure.limit(started + " of " + count + " tasks were waiting when the next could not be started: "
                    + error.getMessage() + " (EAGAIN); look at ulimit -u, pids.max, vm.max_map_count and -Xmx");
            }
            Threads.waitUntil(() -> arrived.get() == count);
        }

        long end() throws Exception {
            gate.countDown();
            return Threads.joinAll(tasks);
        }
    }
}
