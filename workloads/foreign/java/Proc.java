import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** Facts of the host and of this process, from /proc. */
final class Proc {
    private Proc() {}

    /** The numbers of a file with lines such as `MemAvailable: 12 kB`, without conversion. */
    static Map<String, Long> numbers(String path) throws IOException {
        var numbers = new HashMap<String, Long>();
        for (var line : Files.readAllLines(Path.of(path))) {
            var parts = line.split(":?\\s+");
            if (parts.length > 1 && parts[1].matches("[0-9]{1,18}")) numbers.put(parts[0], Long.parseLong(parts[1]));
        }
        return numbers;
    }

    /** The size of the CPU set. `availableProcessors` is lower under a CPU quota. */
    static int cpus() {
        try {
            for (var line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("Cpus_allowed:")) {
                    return new BigInteger(line.substring(line.indexOf(':') + 1).trim().replace(",", ""), 16).bitCount();
                }
            }
        } catch (IOException error) {
            // Without /proc: the nearest figure that Java has.
        }
        return Runtime.getRuntime().availableProcessors();
    }

    /** Voluntary and involuntary context switches of the threads that are alive. */
    static long[] switches() throws IOException {
        long[] sums = new long[2];
        try (var tasks = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
            for (var task : tasks) {
                try {
                    var status = numbers(task.resolve("status").toString());
                    sums[0] += status.getOrDefault("voluntary_ctxt_switches", 0L);
                    sums[1] += status.getOrDefault("nonvoluntary_ctxt_switches", 0L);
                } catch (NoSuchFileException ended) {
                    // The thread has ended meanwhile.
                } catch (IOException ended) {
                    if (Files.exists(task)) throw ended;
                }
            }
        }
        return sums;
    }
}
