import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** Memory as a ledger that closes: a reading of the host and of this process, in kB. */
record Ledger(Map<String, Long> host, Map<String, Long> own, Map<String, Long> status) {
    private static final int SETTLE_STEP_MS = 50;
    private static final long SETTLE_LIMIT_NS = 1_000_000_000;
    private static final long SETTLE_KB = 256;

    /** Waits until the host has settled, and reads. */
    static Ledger read() throws IOException, InterruptedException {
        var host = settle();
        return new Ledger(host, Proc.numbers("/proc/self/smaps_rollup"), Proc.numbers("/proc/self/status"));
    }

    Map<String, Object> until(Ledger later, long tasks) {
        var change = new LinkedHashMap<String, Object>();
        change.put("tasks_count", tasks);
        change.put("available_bytes", -grown(host, later.host, "MemAvailable"));
        change.put("anonymous_bytes", grown(own, later.own, "Pss_Anon") + grown(own, later.own, "Pss_Shmem"));
        change.put("kernel_stack_bytes", grown(host, later.host, "KernelStack"));
        change.put("slab_bytes", grown(host, later.host, "Slab"));
        change.put("page_tables_bytes", grown(host, later.host, "PageTables") + grown(host, later.host, "SecPageTables"));
        change.put("percpu_bytes", grown(host, later.host, "Percpu"));
        change.put("virtual_bytes", grown(status, later.status, "VmSize"));
        return change;
    }

    private static long grown(Map<String, Long> before, Map<String, Long> after, String name) {
        return 1024 * (after.getOrDefault(name, 0L) - before.getOrDefault(name, 0L));
    }

    /** Reads /proc/meminfo until three readings in a row agree. */
    private static Map<String, Long> settle() throws IOException, InterruptedException {
        long start = System.nanoTime();
        var last = meminfo();
        for (int same = 1; same < 3 && System.nanoTime() - start < SETTLE_LIMIT_NS; same++) {
            Thread.sleep(SETTLE_STEP_MS);
            var next = meminfo();
            if (Math.abs(next.get("MemAvailable") - last.get("MemAvailable")) > SETTLE_KB) same = 0;
            last = next;
        }
        return last;
    }

    private static Map<String, Long> meminfo() throws IOException {
        try {
            // Makes the kernel add up its per-CPU counters now. Only root may; others read figures that are a little older.
            Files.readAllBytes(Path.of("/proc/sys/vm/stat_refresh"));
        } catch (IOException error) {
            // As said.
        }
        return Proc.numbers("/proc/meminfo");
    }
}
