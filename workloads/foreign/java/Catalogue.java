import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/** Every workload with its parameters, and the method that takes a sample of it. */
final class Catalogue {
    interface Shape {
        Outcome run(Order order) throws Exception;
    }

    private record Workload(String[] parameters, Shape shape, String refusal) {}

    private static final String NO_FUTEX = "Java has no call for a futex";
    private static final String NO_SELECT = "Java cannot wait for two queues at once";
    private static final String NO_JSON = "the JDK has no JSON library";
    private static final String NO_MAIL = "the JDK has no mail client";

    private final Map<String, Workload> all = new LinkedHashMap<>();
    private final Threads threads;

    Catalogue(Threads threads) {
        this.threads = threads;
        var spawn = new Spawn(threads);
        add("spawn.one", "", spawn::one);
        add("spawn.batch", "tasks_count", spawn::batch);
        add("spawn.first_instruction", "", spawn::firstInstruction);
        add("spawn.skynet", "leaves_count", spawn::skynet);
        refuse("spawn.fork_rss", "resident_bytes=0 huge=0 touch_pages_count=0", "only for processes");
        var hops = new Switch(threads);
        add("switch.yield", "tasks_count yields_count", hops::yields);
        add("switch.pingpong", "rounds_count", hops::pingPong);
        add("switch.roundtrip", "rounds_count capacity_count=0 workers_count=0", hops::roundTrip);
        refuse("switch.futex", "rounds_count", NO_FUTEX);
        add("switch.pipe", "rounds_count", hops::pipe);
        add("switch.ring", "tasks_count hops_count", hops::ring);
        add("switch.hog", "hog_ns hogs_count=0 tick_ns", hops::hog);
        add("switch.working_set", "tasks_count hops_count size_bytes=0", hops::workingSet);
        add("switch.idle_wake", "rounds_count idle_ns=0", hops::idleWake);
        var memory = new Memory(threads);
        add("memory.parked", "tasks_count wait_ns", memory::parked);
        add("memory.deep", "tasks_count levels_count wait_ns", memory::deep);
        add("memory.shrink", "tasks_count levels_count wait_ns", memory::shrink);
        add("memory.million", "tasks_count wait_ns", memory::parked);
        var share = new Share(threads);
        add("share.counter", "tasks_count additions_count means=0 capacity_count", share::counter);
        add("share.pipeline", "stages_count items_count capacity_count=0", share::pipeline);
        add("share.sieve", "limit_count", share::sieve);
        add("share.fan_in", "producers_count items_count capacity_count", share::fanIn);
        refuse("share.select", "items_count", NO_SELECT);
        add("share.worker_pool", "workers_count=0 jobs_count steps_count=0 capacity_count", share::workerPool);
        add("share.bounded_buffer", "tasks_count items_count capacity_count", share::boundedBuffer);
        add("share.chameneos", "creatures_count meetings_count", share::chameneos);
        add("share.big", "tasks_count pings_count", share::big);
        add("share.philosophers", "tasks_count rounds_count", share::philosophers);
        add("share.messaging", "groups_count senders_count loops_count capacity_count", share::messaging);
        add("share.brigade", "tasks_count rounds_count", share::brigade);
        var chunks = new Chunks(threads);
        add("cpu.primes", "chunks_count workers_count=0 limit_count skewed=0", chunks.of(Primes::prepare));
        add("cpu.matmul", "chunks_count workers_count=0 size_count", chunks.of(Matmul::prepare));
        add("cpu.mandelbrot", "chunks_count workers_count=0 size_count limit_count", chunks.of(Mandelbrot::prepare));
        add("cpu.nqueens", "chunks_count workers_count=0 size_count", chunks.of(Nqueens::prepare));
        add("cpu.fib", "chunks_count workers_count=0 depth_count", chunks.of(Fib::prepare));
        add("cpu.sort", "chunks_count workers_count=0 items_count", chunks.of(Sort::prepare));
        add("cpu.hash", "chunks_count workers_count=0 block_bytes rounds_count", chunks.of(Hash::prepare));
        refuse("cpu.json", "chunks_count workers_count=0 records_count", NO_JSON);
        refuse("cpu.json_weak", "chunks_count workers_count records_count", NO_JSON);
        var io = new Io(threads);
        add("io.sleepers", "tasks_count sleep_ns", io::sleepers);
        add("io.tcp_echo", "connections_count payload_bytes requests_count block_bytes offered_per_s=0", io::tcpEcho);
        add("io.tcp_latency", "connections_count payload_bytes requests_count block_bytes load_percent", io::tcpEcho);
        add("io.tcp_burst", "connections_count payload_bytes requests_count burst_count", io::tcpEcho);
        add("io.fanout", "requests_count waits_count wait_ns=0 steps_count=0", io::fanout);
        refuse("io.email", "tasks_count delay_ns=0", NO_MAIL);
        add("io.file_read", "tasks_count file_bytes=0 block_bytes cold=0", io::fileRead);
        add("service.http", "connections_count hold_ns try_ns search_ns limit_ns idle_count=0 in_flight_count backend=0 pool_count rounds_count"
            + " steps_count=0 delay_ns=0 spread_ns=0 slow_ns=0 timeout_ns", order -> Service.run(threads, order));
    }

    private void add(String id, String parameters, Shape shape) {
        var refusal = threads.missing;
        if (refusal == null && (id.startsWith("io.tcp_") || id.startsWith("service.")) && System.getenv(Io.LOAD) == null) {
            refusal = Io.LOAD + " does not name the load generator";
        }
        all.put(id, new Workload(parameters.split(" "), shape, refusal));
    }

    private void refuse(String id, String parameters, String why) {
        all.put(id, new Workload(parameters.split(" "), null, threads.missing == null ? why : threads.missing));
    }

    Map<String, Object> refusals() {
        var refusals = new LinkedHashMap<String, Object>();
        all.forEach((id, workload) -> refusals.put(id, workload.refusal));
        return refusals;
    }

    /** A parameter is at least 1 unless it says otherwise. */
    Order order(String id, Object given, long iterations) throws Failure {
        var workload = all.get(id);
        if (workload == null) throw Failure.badRequest("unknown workload " + id + ": this lane knows " + String.join(", ", all.keySet()));
        if (!(given instanceof Map<?, ?> map)) throw Failure.badRequest("parameters must be an object");
        var parameters = new HashMap<String, Long>();
        for (var word : workload.parameters) {
            if (word.isEmpty()) continue;
            var name = word.replace("=0", "");
            long least = word.endsWith("=0") ? 0 : 1;
            if (!(map.get(name) instanceof Long value) || value < least) {
                throw Failure.badRequest(id + " needs " + name + ", a whole number of at least " + least);
            }
            parameters.put(name, value);
        }
        if ((id.startsWith("memory.") || id.startsWith("service.")) && iterations != 1) throw Failure.badRequest(id + " is one experiment: iterations must be 1");
        return new Order(id, parameters, iterations);
    }

    Outcome run(Order order) throws Exception {
        var workload = all.get(order.workload());
        if (workload.refusal != null) throw Failure.notSupported(workload.refusal);
        // The main task is a thread of the measured kind.
        var outcome = new Outcome[1];
        threads.start(() -> {
            outcome[0] = workload.shape.run(order);
            return 0;
        }).join();
        return outcome[0];
    }
}
