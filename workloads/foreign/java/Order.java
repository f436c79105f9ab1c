import java.util.Map;

/** A checked request for one sample. */
record Order(String workload, Map<String, Long> parameters, long iterations) {
    long get(String name) {
        return parameters.get(name);
    }

    /** A parameter, or another value where the workload has no such. */
    long or(String name, long other) {
        return parameters.getOrDefault(name, other);
    }

    /** A parameter of which 0 means as many as the lane has CPUs. */
    long orCpus(String name) {
        long value = get(name);
        return value == 0 ? Proc.cpus() : value;
    }

    /** A parameter, all iterations together. */
    long total(String name) {
        return get(name) * iterations;
    }
}
