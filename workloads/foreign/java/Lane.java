import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Runs the suite's workloads on Java's threads: reads requests from stdin and answers on stdout, one JSON object a line, as
 * PROTOCOL.md says. Needs JDK 17, and JDK 21 for virtual threads, and its standard library only.
 */
final class Lane {
    private static final InputStream REQUESTS = new BufferedInputStream(System.in);
    private static final int MAX_LINE_BYTES = 1 << 20;
    private static final long MOST_ITERATIONS = 1_000_000_000;

    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 2 || !arguments[0].equals("--lane")) {
            throw new IllegalArgumentException("usage: Lane --lane java-thread|java-virtual");
        }
        Threads threads = switch (arguments[1]) {
            case "java-thread" -> Threads.platform();
            case "java-virtual" -> Threads.virtual();
            default -> throw new IllegalArgumentException("there is no lane " + arguments[1]);
        };
        var lane = new Lane(arguments[1], new Catalogue(threads));
        lane.serve(REQUESTS, System.out);
        // At once, even if a failed sample has left tasks.
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private final String name;
    private final Catalogue catalogue;

    private Lane(String name, Catalogue catalogue) {
        this.name = name;
        this.catalogue = catalogue;
    }

    private void serve(InputStream input, PrintStream output) throws IOException {
        say(output, hello());
        for (byte[] line; (line = nextLine(input)) != null;) {
            long id = 0;
            Map<String, Object> answer;
            try {
                if (line.length > MAX_LINE_BYTES) throw Failure.badRequest("the line is longer than " + MAX_LINE_BYTES + " bytes");
                Map<?, ?> request = parse(line);
                if (request.get("id") instanceof Long number) id = number;
                if ("quit".equals(request.get("type"))) return;
                answer = sample(id, request);
            } catch (Failure failure) {
                answer = error(id, failure);
            } catch (OutOfMemoryError error) {
                answer = error(id, Failure.limit(error.getMessage() + " (EAGAIN); look at ulimit -u, pids.max, vm.max_map_count and -Xmx"));
            } catch (Exception | StackOverflowError error) {
                answer = error(id, new Failure("failed", error.toString()));
            }
            say(output, answer);
        }
    }

    private static Map<?, ?> parse(byte[] line) throws Failure {
        try {
            var text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(line)).toString();
            if (Json.parse(text) instanceof Map<?, ?> request) return request;
            throw Failure.badRequest("a request is a JSON object");
        } catch (CharacterCodingException | Json.SyntaxError error) {
            throw Failure.badRequest("this is no request of the protocol: " + error.getMessage());
        }
    }

    private Map<String, Object> sample(long id, Map<?, ?> request) throws Exception {
        if (!"run".equals(request.get("type"))) throw Failure.badRequest("unknown type of request: " + request.get("type"));
        if (!(request.get("workload") instanceof String workload)) throw Failure.badRequest("workload must be a string");
        if (!(request.get("iterations") instanceof Long iterations) || iterations < 1 || iterations > MOST_ITERATIONS) {
            throw Failure.badRequest("iterations must be a whole number from 1 to " + MOST_ITERATIONS);
        }
        var order = catalogue.order(workload, request.get("parameters"), iterations);
        var outcome = catalogue.run(order);
        var answer = new LinkedHashMap<String, Object>();
        answer.put("type", "sample");
        answer.put("id", id);
        outcome.describe(answer);
        return answer;
    }

    private static Map<String, Object> error(long id, Failure failure) {
        var answer = new LinkedHashMap<String, Object>();
        answer.put("type", "error");
        answer.put("id", id);
        answer.put("kind", failure.kind);
        answer.put("message", failure.getMessage());
        return answer;
    }

    private Map<String, Object> hello() throws IOException {
        var hello = new LinkedHashMap<String, Object>();
        hello.put("type", "hello");
        hello.put("protocol", 1L);
        hello.put("lane", name);
        hello.put("language", "java " + Runtime.version().feature());
        hello.put("runtime", System.getProperty("java.vm.name") + " " + System.getProperty("java.vm.version"));
        hello.put("pid", ProcessHandle.current().pid());
        hello.put("cpus_count", (long) Proc.cpus());
        hello.put("workloads", catalogue.refusals());
        return hello;
    }

    /** Requests a reading of the memory ledger from the study, in the middle of a sample. */
    static void readMemory() throws IOException, Failure {
        say(System.out, Map.of("type", "read_memory"));
        var answer = nextLine(REQUESTS);
        if (answer == null || !"memory_read".equals(parse(answer).get("type"))) {
            throw Failure.badRequest("the study took no reading of memory");
        }
    }

    private static void say(PrintStream output, Map<String, Object> message) throws IOException {
        output.write((Json.write(message) + "\n").getBytes(StandardCharsets.UTF_8));
        output.flush();
    }

    /** The next line; null at the end. Of a line that is too long, one byte more than is allowed. */
    private static byte[] nextLine(InputStream input) throws IOException {
        var line = new ByteArrayOutputStream();
        for (int next; (next = input.read()) != '\n';) {
            if (next < 0) return line.size() == 0 ? null : line.toByteArray();
            if (line.size() <= MAX_LINE_BYTES) line.write(next);
        }
        return line.toByteArray();
    }
}
