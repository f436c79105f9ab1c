import java.util.function.LongUnaryOperator;

final class Primes {
    private Primes() {}

    static LongUnaryOperator prepare(Order order) {
        long chunks = order.get("chunks_count");
        long limit = order.get("limit_count");
        boolean skewed = order.get("skewed") == 1;
        LongUnaryOperator edge = index -> skewed ? limit * index * index / (chunks * chunks) : Chunks.edge(limit, chunks, index);
        return index -> {
            long count = 0;
            long end = edge.applyAsLong(index + 1);
            for (long n = edge.applyAsLong(index); n < end; n++) {
                if (isPrime(n)) count++;
            }
            return count;
        };
    }

    private static boolean isPrime(long n) {
        if (n < 3 || n % 2 == 0) return n == 2;
        for (long d = 3; d * d <= n; d += 2) {
            if (n % d == 0) return false;
        }
        return true;
    }
}
