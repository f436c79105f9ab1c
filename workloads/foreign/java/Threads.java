import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import java.util.function.LongFunction;

/** Tasks: threads of one kind. Each hands over a number. */
final class Threads {
    interface Body {
        long run() throws Exception;
    }

    final boolean virtual;
    /** Why there are no such threads; null if there are. */
    final String missing;
    final ThreadFactory factory;

    private Threads(boolean virtual, String missing, ThreadFactory factory) {
        this.virtual = virtual;
        this.missing = missing;
        this.factory = factory;
    }

    static Threads platform() {
        return new Threads(false, null, Thread::new);
    }

    /** By reflection, so this compiles with a JDK without virtual threads. */
    static Threads virtual() {
        int version = Runtime.version().feature();
        if (version < 21) {
            return new Threads(true, "JDK " + version + " has no virtual threads; install JDK 21 or later: apt-get install openjdk-21-jdk-headless", null);
        }
        try {
            var builder = Thread.class.getMethod("ofVirtual").invoke(null);
            var factory = Class.forName("java.lang.Thread$Builder").getMethod("factory").invoke(builder);
            return new Threads(true, null, (ThreadFactory) factory);
        } catch (ClassNotFoundException | NoSuchMethodException | IllegalAccessException | InvocationTargetException error) {
            return new Threads(true, "this JDK " + version + " has no virtual threads as expected: " + error, null);
        }
    }

    /** A thread that hands over a number or its exception. */
    static final class Task implements Runnable {
        private final Body body;
        private Thread thread;
        private long result;
        private Throwable error;

        private Task(Body body) {
            this.body = body;
        }

        @Override
        public void run() {
            try {
                result = body.run();
            } catch (Throwable thrown) {
                error = thrown;
            }
        }

        long join() throws Exception {
            thread.join();
            if (error instanceof Exception exception) throw exception;
            if (error instanceof Error serious) throw serious;
            return result;
        }
    }

    Task start(Body body) {
        var task = new Task(body);
        task.thread = factory.newThread(task);
        // Threads that a failed sample leaves do not keep the lane alive.
        task.thread.setDaemon(true);
        task.thread.start();
        return task;
    }

    List<Task> startAll(long count, LongFunction<Body> body) {
        var tasks = new ArrayList<Task>((int) count);
        for (long index = 0; index < count; index++) tasks.add(start(body.apply(index)));
        return tasks;
    }

    static long joinAll(Iterable<Task> tasks) throws Exception {
        long sum = 0;
        for (var task : tasks) sum += task.join();
        return sum;
    }

    long runAll(long count, LongFunction<Body> body) throws Exception {
        return joinAll(startAll(count, body));
    }

    /** A queue of the given capacity; 0 is a rendezvous. */
    static BlockingQueue<Long> channel(long capacity) {
        return capacity == 0 ? new SynchronousQueue<>() : new ArrayBlockingQueue<>((int) capacity);
    }

    static void waitUntil(BooleanSupplier done) throws InterruptedException {
        for (int i = 0; i < 100 && !done.getAsBoolean(); i++) Thread.yield();
        while (!done.getAsBoolean()) Thread.sleep(0, 100_000);
    }

    /** Tasks that wait at a gate until all of them have started. */
    final class Team {
        private final CountDownLatch gate = new CountDownLatch(1);
        private final AtomicLong arrived = new AtomicLong();
        private final List<Task> tasks = new ArrayList<>();

        void add(Body body) {
            tasks.add(Threads.this.start(() -> {
                arrived.incrementAndGet();
                gate.await();
                return body.run();
            }));
        }

        void assemble() throws InterruptedException {
            waitUntil(() -> arrived.get() == tasks.size());
        }

        void start() {
            gate.countDown();
        }

        long join() throws Exception {
            return joinAll(tasks);
        }

        /** Times the team from opening the gate to the last join; the sum of the tasks' values. */
        Outcome timed(long operations) throws Exception {
            var meter = new Meter();
            assemble();
            long sum = meter.time(() -> {
                start();
                return join();
            });
            return meter.outcome(operations, sum);
        }

        /** Times the team from opening the gate, with the main task's work, to the last join. */
        Outcome timedBeside(long operations, Body main) throws Exception {
            var meter = new Meter();
            assemble();
            long result = meter.time(() -> {
                start();
                long sum = main.run();
                join();
                return sum;
            });
            return meter.outcome(operations, result);
        }

        /** Opens the gate and times only the main task. */
        Outcome serve(long operations, Body main) throws Exception {
            var meter = new Meter();
            assemble();
            start();
            long result = meter.time(main::run);
            return meter.outcome(operations, result + join());
        }
    }
}
