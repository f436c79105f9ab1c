import java.util.ArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.function.Function;
import java.util.function.LongUnaryOperator;

final class Chunks {
    private final Threads threads;

    Chunks(Threads threads) {
        this.threads = threads;
    }

    Catalogue.Shape of(Function<Order, LongUnaryOperator> kernel) {
        return order -> run(order, kernel.apply(order));
    }

    private Outcome run(Order order, LongUnaryOperator chunk) throws Exception {
        long workers = order.orCpus("workers_count");
        long count = order.get("chunks_count");
        // The work of some workloads grows with the workers.
        long copies = order.workload().endsWith("_weak") ? workers : 1;
        var meter = new Meter();
        Threads.Body all = threads.virtual
            ? virtual(workers, count * copies, index -> chunk.applyAsLong(index % count))
            : null;
        ExecutorService pool = all == null ? Executors.newFixedThreadPool((int) workers) : null;
        try {
            long sum = meter.time(() -> {
                long handed = 0;
                for (long i = 0; i < order.iterations(); i++) {
                    handed += all != null ? all.run() : pooled(pool, count * copies, index -> chunk.applyAsLong(index % count));
                }
                return handed;
            });
            return meter.outcome(order.iterations(), sum);
        } finally {
            if (pool != null) pool.shutdownNow();
        }
    }

    private static long pooled(ExecutorService pool, long count, LongUnaryOperator chunk) throws Exception {
        var results = new ArrayList<Future<Long>>();
        for (long i = 0; i < count; i++) {
            long index = i;
            results.add(pool.submit(() -> chunk.applyAsLong(index)));
        }
        long sum = 0;
        try {
            for (var result : results) sum += result.get();
        } catch (ExecutionException error) {
            throw new IllegalStateException("a chunk failed", error.getCause());
        }
        return sum;
    }

    /** A thread for each chunk. A semaphore limits how many run at once, because virtual threads have no pool. */
    private Threads.Body virtual(long workers, long count, LongUnaryOperator chunk) {
        var free = new Semaphore((int) workers);
        return () -> threads.runAll(count, index -> () -> {
            free.acquire();
            try {
                return chunk.applyAsLong(index);
            } finally {
                free.release();
            }
        });
    }

    static long edge(long whole, long parts, long index) {
        return whole * index / parts;
    }
}
