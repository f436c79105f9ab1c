import java.util.function.LongUnaryOperator;

/** Counts the solutions for one position of the first two queens. */
final class Nqueens {
    private Nqueens() {}

    static LongUnaryOperator prepare(Order order) {
        int n = (int) order.get("size_count");
        int all = (1 << n) - 1;
        return index -> {
            int first = 1 << (int) (index / n);
            int second = 1 << (int) (index % n);
            int left = first << 1;
            int right = first >> 1;
            if ((second & (first | left | right)) != 0) return 0;
            return solutions(all, first | second, (left | second) << 1, (right | second) >> 1);
        };
    }

    private static long solutions(int all, int columns, int left, int right) {
        if (columns == all) return 1;
        long count = 0;
        for (int free = all & ~(columns | left | right); free != 0; free &= free - 1) {
            int queen = free & -free;
            count += solutions(all, columns | queen, (left | queen) << 1, (right | queen) >> 1);
        }
        return count;
    }
}
