import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;

/** Tasks that share data. */
final class Share {
    private final Threads threads;

    Share(Threads threads) {
        this.threads = threads;
    }

    private static long receive(BlockingQueue<Long> from, long count) throws InterruptedException {
        long sum = 0;
        for (long i = 0; i < count; i++) sum += from.take();
        return sum;
    }

    /** Sends 1 to `items`, repeatedly. */
    private static long produce(BlockingQueue<Long> to, long items, long times) throws InterruptedException {
        for (long i = 0; i < times; i++) {
            for (long item = 1; item <= items; item++) to.put(item);
        }
        return 0;
    }

    private static List<BlockingQueue<Long>> channels(long count, long capacity) {
        var channels = new ArrayList<BlockingQueue<Long>>();
        for (long i = 0; i < count; i++) channels.add(Threads.channel(capacity));
        return channels;
    }

    /** A number under a lock. */
    private static final class Locked {
        private final ReentrantLock lock = new ReentrantLock();
        private long value;

        void add() {
            lock.lock();
            try {
                value++;
            } finally {
                lock.unlock();
            }
        }
    }

    Outcome counter(Order order) throws Exception {
        long tasks = order.get("tasks_count");
        long additions = order.total("additions_count");
        var team = threads.new Team();
        switch ((int) order.get("means")) {
            case 0 -> {
                var atomic = new AtomicLong();
                for (long i = 0; i < tasks; i++) {
                    team.add(() -> {
                        for (long j = 0; j < additions; j++) atomic.incrementAndGet();
                        return 0;
                    });
                }
                return team.timedBeside(tasks * additions, () -> {
                    team.join();
                    return atomic.get();
                });
            }
            case 1 -> {
                var locked = new Locked();
                for (long i = 0; i < tasks; i++) {
                    team.add(() -> {
                        for (long j = 0; j < additions; j++) locked.add();
                        return 0;
                    });
                }
                return team.timedBeside(tasks * additions, () -> {
                    team.join();
                    return locked.value;
                });
            }
            case 2 -> {
                BlockingQueue<Long> channel = Threads.channel(order.get("capacity_count"));
                for (long i = 0; i < tasks; i++) team.add(() -> produce(channel, 1, additions));
                team.add(() -> receive(channel, tasks * additions));
                return team.timed(tasks * additions);
            }
            default -> throw Failure.badRequest("means is " + order.get("means") + "; it must be 0, 1 or 2");
        }
    }

    Outcome pipeline(Order order) throws Exception {
        int stages = (int) order.get("stages_count");
        long items = order.get("items_count");
        long all = order.total("items_count");
        var channels = channels(stages + 1, order.get("capacity_count"));
        var team = threads.new Team();
        team.add(() -> {
            for (long item = 0; item < all; item++) channels.get(0).put(item % items);
            return 0;
        });
        for (int i = 0; i < stages; i++) {
            var from = channels.get(i);
            var to = channels.get(i + 1);
            team.add(() -> {
                for (long item = 0; item < all; item++) to.put(from.take() + 1);
                return 0;
            });
        }
        return team.timedBeside(all * (stages + 1), () -> receive(channels.get(stages), all));
    }

    Outcome sieve(Order order) throws Exception {
        long limit = order.get("limit_count");
        var found = new AtomicLong();
        var meter = new Meter();
        long sum = meter.time(() -> {
            long handed = 0;
            for (long i = 0; i < order.iterations(); i++) {
                BlockingQueue<Long> numbers = Threads.channel(0);
                var source = threads.start(() -> {
                    for (long number = 2; number <= limit; number++) numbers.put(number);
                    numbers.put(0L);
                    return 0;
                });
                handed += threads.start(() -> filter(numbers, found)).join();
                source.join();
            }
            return handed;
        });
        return meter.outcome(found.get(), sum);
    }

    private long filter(BlockingQueue<Long> from, AtomicLong found) throws Exception {
        long prime = from.take();
        if (prime == 0) return 0;
        found.incrementAndGet();
        BlockingQueue<Long> to = Threads.channel(0);
        var next = threads.start(() -> filter(to, found));
        for (long number; (number = from.take()) != 0;) {
            if (number % prime != 0) to.put(number);
        }
        to.put(0L);
        return prime + next.join();
    }

    Outcome fanIn(Order order) throws Exception {
        long producers = order.get("producers_count");
        long items = order.get("items_count");
        BlockingQueue<Long> channel = Threads.channel(order.get("capacity_count"));
        var team = threads.new Team();
        for (long i = 0; i < producers; i++) team.add(() -> produce(channel, items, order.iterations()));
        long all = producers * order.total("items_count");
        return team.timedBeside(all, () -> receive(channel, all));
    }

    Outcome workerPool(Order order) throws Exception {
        long workers = order.orCpus("workers_count");
        long steps = order.get("steps_count");
        BlockingQueue<Long> todo = Threads.channel(order.get("capacity_count"));
        BlockingQueue<Long> done = Threads.channel(order.get("capacity_count"));
        var team = threads.new Team();
        for (long i = 0; i < workers; i++) {
            team.add(() -> {
                for (long job; (job = todo.take()) != 0;) done.put(Lehmer.after(job, steps));
                return 0;
            });
        }
        team.add(() -> {
            produce(todo, order.get("jobs_count"), order.iterations());
            for (long i = 0; i < workers; i++) todo.put(0L);
            return 0;
        });
        long all = order.total("jobs_count");
        return team.timedBeside(all, () -> receive(done, all));
    }

    Outcome boundedBuffer(Order order) throws Exception {
        long tasks = order.get("tasks_count");
        long items = order.get("items_count");
        BlockingQueue<Long> buffer = Threads.channel(order.get("capacity_count"));
        var team = threads.new Team();
        for (long i = 0; i < tasks; i++) {
            team.add(() -> produce(buffer, items, order.iterations()));
            team.add(() -> receive(buffer, order.total("items_count")));
        }
        return team.timed(tasks * order.total("items_count"));
    }

    Outcome chameneos(Order order) throws Exception {
        long creatures = order.get("creatures_count");
        long meetings = order.total("meetings_count");
        if (creatures < 2) throw Failure.badRequest("creatures_count is " + creatures + "; two must be there to meet");
        BlockingQueue<Long> requests = Threads.channel(creatures);
        var answers = channels(creatures, 1);
        var team = threads.new Team();
        for (long i = 0; i < creatures; i++) {
            long creature = i;
            team.add(() -> meet(creature, requests, answers.get((int) creature)));
        }
        team.add(() -> {
            for (long i = 0; i < meetings; i++) {
                long one = requests.take();
                long other = requests.take();
                answers.get((int) (one / 4)).put(other % 4 + 1);
                answers.get((int) (other / 4)).put(one % 4 + 1);
            }
            for (long i = 0; i < creatures; i++) answers.get((int) (requests.take() / 4)).put(0L);
            return 0;
        });
        return team.timed(meetings);
    }

    private static long meet(long creature, BlockingQueue<Long> requests, BlockingQueue<Long> answer) throws InterruptedException {
        long colour = creature % 3;
        for (long met = 0;; met++) {
            requests.put(4 * creature + colour);
            long other = answer.take() - 1;
            if (other < 0) return met;
            if (other != colour) colour = 3 - colour - other;
        }
    }

    Outcome big(Order order) throws Exception {
        long tasks = order.get("tasks_count");
        long pings = order.total("pings_count");
        if (tasks < 2) throw Failure.badRequest("tasks_count is " + tasks + "; two must be there to ask");
        var boxes = channels(tasks, tasks + 1);
        BlockingQueue<Long> finished = Threads.channel(tasks);
        var team = threads.new Team();
        for (long i = 0; i < tasks; i++) {
            long index = i;
            team.add(() -> ask(index, pings, boxes, finished));
        }
        team.add(() -> {
            for (long i = 0; i < tasks; i++) finished.take();
            for (var box : boxes) box.put(0L);
            return 0;
        });
        return team.timed(tasks * pings);
    }

    /** Sends requests to others, one after another, and answers requests until all have their answers. Returns how many it got. */
    private static long ask(long index, long pings, List<BlockingQueue<Long>> boxes, BlockingQueue<Long> finished) throws InterruptedException {
        long tasks = boxes.size();
        long x = Lehmer.after(index, 1);
        boxes.get((int) ((index + 1 + x % (tasks - 1)) % tasks)).put(index + 1);
        for (long answers = 0;;) {
            long message = boxes.get((int) index).take();
            if (message == 0) return answers;
            if (message <= tasks) {
                boxes.get((int) message - 1).put(tasks + 1);
            } else if (++answers < pings) {
                x = Lehmer.next(x);
                boxes.get((int) ((index + 1 + x % (tasks - 1)) % tasks)).put(index + 1);
            } else {
                finished.put(1L);
            }
        }
    }

    Outcome philosophers(Order order) throws Exception {
        int tasks = (int) order.get("tasks_count");
        long rounds = order.total("rounds_count");
        if (tasks < 2) throw Failure.badRequest("tasks_count is " + tasks + "; a philosopher needs two forks");
        var forks = new ArrayList<ReentrantLock>();
        for (int i = 0; i < tasks; i++) forks.add(new ReentrantLock());
        var team = threads.new Team();
        for (int i = 0; i < tasks; i++) {
            int neighbour = (i + 1) % tasks;
            var low = forks.get(Math.min(i, neighbour));
            var high = forks.get(Math.max(i, neighbour));
            team.add(() -> {
                long meals = 0;
                for (long round = 0; round < rounds; round++) {
                    low.lock();
                    high.lock();
                    meals++;
                    high.unlock();
                    low.unlock();
                }
                return meals;
            });
        }
        return team.timed(tasks * rounds);
    }

    Outcome messaging(Order order) throws Exception {
        long groups = order.get("groups_count");
        long senders = order.get("senders_count");
        long loops = order.total("loops_count");
        var team = threads.new Team();
        for (long group = 0; group < groups; group++) {
            var inboxes = channels(senders, order.get("capacity_count"));
            for (var inbox : inboxes) team.add(() -> receive(inbox, senders * loops));
            for (long i = 0; i < senders; i++) {
                team.add(() -> {
                    for (long loop = 0; loop < loops; loop++) {
                        for (var inbox : inboxes) inbox.put(1L);
                    }
                    return 0;
                });
            }
        }
        return team.timed(groups * senders * senders * loops);
    }

    Outcome brigade(Order order) throws Exception {
        long tasks = order.get("tasks_count");
        long rounds = order.total("rounds_count");
        try (var pipes = new NumberPipe.Row(tasks + 1)) {
            var team = threads.new Team();
            for (long i = 0; i < tasks; i++) {
                var from = pipes.get(i);
                var to = pipes.get(i + 1);
                team.add(() -> from.passOn(to, rounds));
            }
            return team.serve(rounds * (tasks + 1), () -> {
                long number = 0;
                for (long i = 0; i < rounds; i++) {
                    pipes.get(0).write(number);
                    number = pipes.get(tasks).read();
                }
                return number;
            });
        }
    }
}
