import java.util.Arrays;
import java.util.function.LongUnaryOperator;

final class Matmul {
    private Matmul() {}

    static LongUnaryOperator prepare(Order order) {
        int n = (int) order.get("size_count");
        long chunks = order.get("chunks_count");
        var left = new double[n * n];
        var right = new double[n * n];
        for (int r = 0; r < n; r++) {
            for (int c = 0; c < n; c++) {
                left[r * n + c] = ((long) r * n + c) % 7;
                right[r * n + c] = (r + c * 3L) % 5;
            }
        }
        return index -> {
            var sums = new double[n];
            double total = 0;
            int end = (int) Chunks.edge(n, chunks, index + 1);
            for (int r = (int) Chunks.edge(n, chunks, index); r < end; r++) {
                Arrays.fill(sums, 0);
                for (int k = 0; k < n; k++) {
                    double factor = left[r * n + k];
                    for (int c = 0; c < n; c++) sums[c] += factor * right[k * n + c];
                }
                for (double sum : sums) total += sum;
            }
            return (long) total;
        };
    }
}
