import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;

/** The stopwatch of a sample: wall time, CPU time and context switches of its timed sections. */
final class Meter {
    interface Section {
        long run() throws Exception;
    }

    /** A reading of the process's usage. Switches of threads that end between two readings are lost. */
    record Usage(long cpu, long voluntary, long involuntary) {
        static Usage now() throws IOException {
            var system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            var switches = Proc.switches();
            return new Usage(system.getProcessCpuTime(), switches[0], switches[1]);
        }

        Usage share(double share) {
            return new Usage(Math.round(cpu * share), Math.round(voluntary * share), Math.round(involuntary * share));
        }

        Usage minus(Usage other) {
            return new Usage(cpu - other.cpu, Math.max(voluntary - other.voluntary, 0), Math.max(involuntary - other.involuntary, 0));
        }
    }

    private long elapsed;
    private Usage used = new Usage(0, 0, 0);

    long time(Section section) throws Exception {
        var before = Usage.now();
        long start = System.nanoTime();
        long result = section.run();
        elapsed += System.nanoTime() - start;
        var spent = Usage.now().minus(before);
        used = new Usage(used.cpu + spent.cpu, used.voluntary + spent.voluntary, used.involuntary + spent.involuntary);
        return result;
    }

    long elapsed() {
        return elapsed;
    }

    Outcome outcome(long operations, long checksum) {
        return new Outcome(elapsed, operations, checksum, used);
    }
}
