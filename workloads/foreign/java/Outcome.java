import java.util.LinkedHashMap;
import java.util.Map;

/** A sample: time, answer and further counts. */
final class Outcome {
    final long elapsed;
    private final long operations;
    private final long checksum;
    private final Meter.Usage used;
    private final Map<String, Object> metrics = new LinkedHashMap<>();
    private Map<String, Object> latency;

    Outcome(long elapsed, long operations, long checksum, Meter.Usage used) {
        this.elapsed = elapsed;
        this.operations = operations;
        this.checksum = checksum;
        this.used = used;
    }

    Outcome with(String metric, double value) {
        metrics.put(metric, value);
        return this;
    }

    Outcome with(Map<?, ?> all) {
        all.forEach((name, value) -> metrics.put(name.toString(), value));
        return this;
    }

    Outcome latency(Map<String, Object> histogram) {
        latency = histogram;
        return this;
    }

    Outcome latency(Latencies latencies) {
        return latency(latencies.report(latencies.count() * 1e9 / Math.max(elapsed, 1)));
    }

    /** The latencies of a clock's ticks: each counts from the time when the tick was due. */
    Outcome ticks(Latencies late, long tick) {
        latency(late);
        latency.put("corrected", true);
        latency.put("offered_per_s", 1e9 / tick);
        return this;
    }

    void describe(Map<String, Object> answer) {
        answer.put("elapsed_ns", elapsed);
        answer.put("operations_count", operations);
        answer.put("checksum", checksum);
        answer.put("cpu_ns", Math.max(used.cpu(), 0));
        answer.put("voluntary_switches_count", used.voluntary());
        answer.put("involuntary_switches_count", used.involuntary());
        if (latency != null) answer.put("latency", latency);
        if (!metrics.isEmpty()) answer.put("metrics", metrics);
    }
}
