import java.util.function.LongUnaryOperator;

final class Mandelbrot {
    private Mandelbrot() {}

    static LongUnaryOperator prepare(Order order) {
        long n = order.get("size_count");
        long chunks = order.get("chunks_count");
        long limit = order.get("limit_count");
        return index -> {
            long total = 0;
            long end = Chunks.edge(n, chunks, index + 1);
            for (long row = Chunks.edge(n, chunks, index); row < end; row++) {
                for (long column = 0; column < n; column++) {
                    total += steps(-2.0 + 3.0 * column / n, -1.5 + 3.0 * row / n, limit);
                }
            }
            return total;
        };
    }

    private static long steps(double cr, double ci, long limit) {
        double zr = 0;
        double zi = 0;
        long count = 0;
        while (count < limit && zr * zr + zi * zi <= 4.0) {
            double next = zr * zr - zi * zi + cr;
            zi = 2.0 * zr * zi + ci;
            zr = next;
            count++;
        }
        return count;
    }
}
