import java.util.Map;

/** A checked request for one sample. */
record Order(String workload, Map<String, Long> parameters, long iterations) {
    long get(String name) {
        return parameters.get(name);
    }

    /** The value of a parameter, or another value if the workload has no such parameter. */
    long or(String name, long other) {
        return parameters.getOrDefault(name, other);
    }

    /** The value of a parameter for which 0 means the lane's CPUs. */
    long orCpus(String name) {
        long value = get(name);
        return value == 0 ? Proc.cpus() : value;
    }

    long total(String name) {
        return get(name) * iterations;
    }
}
