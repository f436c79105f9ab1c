import java.util.Arrays;
import java.util.function.LongUnaryOperator;

final class Sort {
    private Sort() {}

    static LongUnaryOperator prepare(Order order) {
        int items = (int) order.get("items_count");
        return index -> {
            var numbers = new long[items];
            long x = Lehmer.after(index, 1);
            for (int j = 0; j < items; j++) {
                numbers[j] = x;
                x = Lehmer.next(x);
            }
            Arrays.sort(numbers);
            long sum = 0;
            for (int j = 0; j < items; j++) sum += numbers[j] * (j % 7 + 1) % 1_000_003;
            return sum;
        };
    }
}
