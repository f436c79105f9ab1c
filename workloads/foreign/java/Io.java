import java.io.FileInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

final class Io {
    static final String LOAD = "THREADBARE_LOAD";
    private static final int BLOCK_BYTES = 64 << 10;
    private static final int PATTERN = 251;
    private final Threads threads;

    Io(Threads threads) {
        this.threads = threads;
    }

    private static void sleep(long ns) throws InterruptedException {
        Thread.sleep(ns / 1_000_000, (int) (ns % 1_000_000));
    }

    Outcome sleepers(Order order) throws Exception {
        long tasks = order.get("tasks_count");
        long ns = order.get("sleep_ns");
        var meter = new Meter();
        long sum = meter.time(() -> {
            long handed = 0;
            for (long i = 0; i < order.iterations(); i++) {
                handed += threads.runAll(tasks, index -> () -> {
                    sleep(ns);
                    return index + 1;
                });
            }
            return handed;
        });
        return meter.outcome(order.iterations() * tasks, sum).with("over_ns", (double) meter.elapsed() / order.iterations() - ns);
    }

    Outcome tcpEcho(Order order) throws Exception {
        var before = Meter.Usage.now();
        int connections = (int) order.get("connections_count");
        var server = new ServerSocket(0, connections, InetAddress.getLoopbackAddress());
        // One request of a burst at a time, so each is answered separately.
        int blockBytes = (int) order.or("block_bytes", order.get("payload_bytes"));
        var acceptor = threads.start(() -> serve(server, blockBytes));
        Map<?, ?> report;
        try {
            report = load(order, server.getLocalPort());
        } finally {
            // Ends the acceptor. The generator has closed its connections already.
            server.close();
            acceptor.join();
        }
        return outcome(report, Meter.Usage.now().minus(before));
    }

    /** Makes the generator's report and the server's usage into a sample. */
    static Outcome outcome(Map<?, ?> report, Meter.Usage used) throws IOException {
        var outcome = new Outcome(number(report, "elapsed_ns"), number(report, "operations_count"), number(report, "checksum"), used);
        if (report.get("metrics") instanceof Map<?, ?> metrics) outcome.with(metrics);
        @SuppressWarnings("unchecked") // A JSON object has names of this type.
        var latency = (Map<String, Object>) report.get("latency");
        return outcome.latency(latency);
    }

    private static long number(Map<?, ?> report, String name) throws IOException {
        if (report.get(name) instanceof Long number) return number;
        throw new IOException("the load generator's report has no " + name);
    }

    /** Serves until the server is closed and all connections have ended. */
    private long serve(ServerSocket server, int blockBytes) throws Exception {
        var tasks = new ArrayList<Threads.Task>();
        while (true) {
            Socket connection;
            try {
                connection = server.accept();
            } catch (SocketException closed) {
                return Threads.joinAll(tasks);
            }
            connection.setTcpNoDelay(true);
            tasks.add(threads.start(() -> echo(connection, blockBytes)));
        }
    }

    private static long echo(Socket connection, int blockBytes) throws IOException {
        try (connection) {
            var block = new byte[blockBytes];
            var input = connection.getInputStream();
            var output = connection.getOutputStream();
            long echoed = 0;
            for (int size; (size = input.read(block)) >= 0; echoed += size) output.write(block, 0, size);
            return echoed;
        } catch (SocketException gone) {
            // The generator counts the missing answers.
            return 0;
        }
    }

    private static Map<?, ?> load(Order order, int port) throws Exception {
        return report(command(order, port));
    }

    private static List<String> command(Order order, int port) {
        return List.of(System.getenv(LOAD), "load", "--address", "127.0.0.1:" + port,
            "--connections", "" + order.get("connections_count"), "--payload-bytes", "" + order.get("payload_bytes"),
            "--requests", "" + order.total("requests_count"), "--offered-per-s", "" + order.or("offered_per_s", 0),
            "--load-percent", "" + order.or("load_percent", 0), "--burst", "" + order.or("burst_count", 1));
    }

    /** The load generator's report. */
    static Map<?, ?> report(List<String> command) throws Exception {
        var generator = new ProcessBuilder(command).redirectInput(Path.of("/dev/null").toFile()).start();
        var printed = new String(generator.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        var errors = new String(generator.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
        int status = generator.waitFor();
        if (status != 0) throw new IOException("the load generator ended with " + status + ": " + errors.trim());
        if (Json.parse(printed) instanceof Map<?, ?> report) return report;
        throw new IOException("the load generator's report is no object");
    }

    Outcome fanout(Order order) throws Exception {
        long requests = order.get("requests_count");
        long waits = order.get("waits_count");
        long ns = order.get("wait_ns");
        long steps = order.get("steps_count");
        var meter = new Meter();
        long sum = meter.time(() -> {
            long handed = 0;
            for (long i = 0; i < order.iterations(); i++) {
                handed += threads.runAll(requests, request -> () -> {
                    var waiting = threads.startAll(waits, index -> () -> {
                        sleep(ns);
                        return 1;
                    });
                    return Lehmer.after(request, steps) % 1_000 + Threads.joinAll(waiting);
                });
            }
            return handed;
        });
        return meter.outcome(order.iterations() * requests, sum);
    }

    Outcome fileRead(Order order) throws Exception {
        if (order.get("cold") == 1) throw Failure.notSupported("Java has no posix_fadvise, by which the kernel forgets pages");
        int tasks = (int) order.get("tasks_count");
        var folder = Files.createTempDirectory("threadbare-");
        var files = new ArrayList<Path>();
        try {
            for (int i = 0; i < tasks; i++) {
                var file = folder.resolve("" + i);
                files.add(file);
                write(file, i, order.get("file_bytes"));
            }
            var meter = new Meter();
            long sum = meter.time(() -> {
                long handed = 0;
                for (long i = 0; i < order.iterations(); i++) handed += threads.runAll(tasks, index -> () -> addUp(files.get((int) index), (int) order.get("block_bytes")));
                return handed;
            });
            return meter.outcome(order.iterations() * tasks, sum);
        } finally {
            for (var file : files) Files.deleteIfExists(file);
            Files.delete(folder);
        }
    }

    private static void write(Path path, int index, long size) throws IOException {
        try (var file = FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            var block = new byte[BLOCK_BYTES];
            for (long offset = 0; offset < size; offset += BLOCK_BYTES) {
                int length = (int) Math.min(size - offset, BLOCK_BYTES);
                for (int j = 0; j < length; j++) block[j] = (byte) ((index + offset + j) % PATTERN);
                for (var bytes = ByteBuffer.wrap(block, 0, length); bytes.hasRemaining();) file.write(bytes);
            }
            file.force(true);
        }
    }

    private static long addUp(Path path, int blockBytes) throws IOException {
        try (var file = new FileInputStream(path.toFile())) {
            var block = new byte[blockBytes];
            long sum = 0;
            for (int size; (size = file.read(block)) >= 0;) sum += WorkingSet.goOver(block, size);
            return sum;
        }
    }
}
