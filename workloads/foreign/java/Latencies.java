import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Latencies of one sample, in the order of their recording. */
final class Latencies {
    private long[] noted = new long[64];
    private int count;

    void note(long ns) {
        if (count == noted.length) noted = Arrays.copyOf(noted, 2 * count);
        noted[count++] = Math.max(ns, 0);
    }

    int count() {
        return count;
    }

    double median() {
        long[] sorted = Arrays.copyOf(noted, count);
        Arrays.sort(sorted);
        return count == 0 ? 0 : sorted[(count - 1) / 2];
    }

    double worst() {
        return Arrays.stream(noted, 0, count).max().orElse(0);
    }

    double shareFrom(long ns) {
        return (double) Arrays.stream(noted, 0, count).filter(one -> one >= ns).count() / Math.max(count, 1);
    }

    /** The latencies in buckets. A bucket is at most 1/1,024 of its values wide. */
    Map<String, Object> report(double achieved) {
        var counts = new TreeMap<Long, Long>();
        for (int i = 0; i < count; i++) {
            // All bits but the 11 highest are set to 1: this is the highest value of the bucket.
            int width = Math.max(64 - Long.numberOfLeadingZeros(noted[i]) - 11, 0);
            counts.merge(noted[i] | (1L << width) - 1, 1L, Long::sum);
        }
        List<Object> buckets = new ArrayList<>();
        counts.forEach((highest, number) -> buckets.add(List.of(highest, number)));
        var report = new LinkedHashMap<String, Object>();
        report.put("corrected", false);
        report.put("offered_per_s", null);
        report.put("achieved_per_s", achieved);
        report.put("buckets", buckets);
        return report;
    }
}
