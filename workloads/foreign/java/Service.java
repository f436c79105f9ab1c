import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;

/** The service of service.http with the JDK's HttpServer, as PROTOCOL.md says. */
final class Service {
    private static final int ITEMS = 1_000;
    private static final int USERS = 16;
    private static final int MOST_BODY_BYTES = 64 << 10;
    private static final int IDLE_SECONDS = 60;
    private static final int SHOWN_LETTERS = 600;
    private static final List<String> ROUTES = List.of("cheap", "compute", "fan-out", "slow");

    static {
        // The server reads these when its classes are loaded. By default it keeps 200 connections at most, for 30 s, and
        // delays small answers by Nagle's algorithm.
        System.setProperty("sun.net.httpserver.maxIdleConnections", "60000");
        System.setProperty("sun.net.httpserver.idleInterval", "" + IDLE_SECONDS);
        System.setProperty("sun.net.httpserver.nodelay", "true");
    }

    private static final class Problem extends Exception {
        private static final long serialVersionUID = 1;
        final int status;

        private Problem(int status, String message) {
            super(message, null, false, false);
            this.status = status;
        }

        static Problem malformed() {
            return new Problem(400, "this is no request of this service");
        }

        static Problem unknown() {
            return new Problem(401, "the key is wrong");
        }

        static Problem noSuchPath() {
            return new Problem(404, "there is nothing at this path");
        }

        static Problem backend() {
            return new Problem(502, "the backend did not answer");
        }

        static Problem tooMany() {
            return new Problem(503, "too many requests at the same time");
        }

        static Problem late() {
            return new Problem(504, "the backend did not answer in time");
        }
    }

    private final Threads threads;
    private final Order order;
    private final HttpServer server;
    private final ExecutorService pool;
    private final Links links;
    private final Semaphore inFlight;
    private final Map<String, byte[]> hashes = new LinkedHashMap<>();
    private final AtomicBoolean ends = new AtomicBoolean();
    private Threads.Task end;

    static Outcome run(Threads threads, Order order) throws Exception {
        var command = command("backend", order);
        var backend = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        try {
            var line = backend.inputReader().readLine();
            if (line == null || !(Json.parse(line) instanceof Map<?, ?> said)) throw new IOException("the backend did not say where it listens");
            return new Service(threads, order, said.get("address").toString()).serveLoaded();
        } finally {
            // The backend ends with its input.
            backend.getOutputStream().close();
            backend.waitFor();
        }
    }

    private static List<String> command(String what, Order order) {
        var command = new ArrayList<>(List.of(System.getenv(Io.LOAD), what));
        order.parameters().forEach((name, value) -> command.add(name + "=" + value));
        return command;
    }

    private Service(Threads threads, Order order, String backend) throws Exception {
        this.threads = threads;
        this.order = order;
        links = new Links(backend, (int) order.get("pool_count"), order.get("timeout_ns"));
        inFlight = new Semaphore((int) order.get("in_flight_count"));
        for (int number = 0; number < USERS; number++) hashes.put("u" + number, hash("u" + number, "secret of u" + number));
        // The longest queue that the host allows.
        var listen = System.getenv().getOrDefault("THREADBARE_LISTEN", "127.0.0.1:0").split(":");
        server = HttpServer.create(new InetSocketAddress(listen[0], Integer.parseInt(listen[1])), 65_535);
        server.createContext("/", this::handle);
        pool = threads.virtual ? null : Executors.newCachedThreadPool(threads.factory);
        Executor virtual = task -> threads.factory.newThread(task).start();
        server.setExecutor(threads.virtual ? virtual : pool);
    }

    private Outcome serveLoaded() throws Exception {
        var before = Meter.Usage.now();
        server.start();
        Map<?, ?> report;
        try {
            var command = command("load-service", order);
            command.addAll(2, List.of("--address", server.getAddress().getAddress().getHostAddress() + ":" + server.getAddress().getPort()));
            report = Io.report(command);
        } finally {
            // If the end was not requested, no request is in progress.
            if (ends.compareAndSet(false, true)) server.stop(0);
            else end.join();
            if (pool != null) pool.shutdown();
            links.close();
        }
        // The report of a search describes only its last part, so the sample gets only that part's share of the usage.
        var used = Meter.Usage.now().minus(before);
        if (!(report.get("metrics") instanceof Map<?, ?> metrics && metrics.get("load_asked_count") instanceof Double asked
            && report.get("operations_count") instanceof Long part)) throw new IOException("the load generator's report is not whole");
        return Io.outcome(report, used.share(part / asked));
    }

    private void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            int status = 200;
            byte[] body;
            try {
                body = reply(exchange);
            } catch (Problem problem) {
                status = problem.status;
                body = Json.write(Map.of("error", problem.getMessage())).getBytes(StandardCharsets.UTF_8);
            }
            exchange.getResponseHeaders().set("Content-Type", "application/json");
            if (ends.get()) exchange.getResponseHeaders().set("Connection", "close");
            exchange.sendResponseHeaders(status, body.length);
            exchange.getResponseBody().write(body);
        }
    }

    private byte[] reply(HttpExchange exchange) throws IOException, Problem {
        var path = exchange.getRequestURI().getPath();
        var input = exchange.getRequestBody();
        if ("/drain".equals(path)) {
            if (ends.compareAndSet(false, true)) {
                // `stop` waits for the exchanges in progress, and this is one of them.
                end = threads.start(() -> {
                    server.stop(IDLE_SECONDS);
                    return 0;
                });
            }
            return "{}".getBytes(StandardCharsets.UTF_8);
        }
        var route = path == null || path.isEmpty() ? "" : path.substring(1);
        if (!ROUTES.contains(route) || !"POST".equals(exchange.getRequestMethod())) throw Problem.noSuchPath();
        if (!inFlight.tryAcquire()) throw Problem.tooMany();
        try {
            var user = who(exchange.getRequestHeaders().getFirst("Authorization"));
            long item = item(input);
            var values = fetchAll(keys(route, item));
            long computed = route.equals("compute") ? Lehmer.after(item, order.get("steps_count")) % 1_000 : 0;
            return answer(route, user, item, computed, values).getBytes(StandardCharsets.UTF_8);
        } finally {
            inFlight.release();
        }
    }

    /** The user of "Bearer USER:SECRET". Computes the hash of the secret. */
    private String who(String authorization) throws Problem {
        if (authorization == null || !authorization.startsWith("Bearer ")) throw Problem.unknown();
        var token = authorization.substring("Bearer ".length());
        int colon = token.indexOf(':');
        if (colon < 0) throw Problem.unknown();
        var user = token.substring(0, colon);
        var right = hashes.get(user);
        if (right == null || !MessageDigest.isEqual(hash(user, token.substring(colon + 1)), right)) throw Problem.unknown();
        return user;
    }

    private byte[] hash(String user, String secret) throws Problem {
        if (secret.isEmpty()) throw Problem.unknown();
        try {
            var specification = new PBEKeySpec(secret.toCharArray(), user.getBytes(StandardCharsets.UTF_8), (int) order.get("rounds_count"), 256);
            return SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256").generateSecret(specification).getEncoded();
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }

    private static long item(InputStream input) throws IOException, Problem {
        var body = input.readNBytes(MOST_BODY_BYTES + 1);
        try {
            boolean fits = body.length <= MOST_BODY_BYTES;
            if (fits && Json.parse(new String(body, StandardCharsets.UTF_8)) instanceof Map<?, ?> question
                && question.get("item") instanceof Long item && item >= 0) return item % ITEMS;
        } catch (Json.SyntaxError error) {
            // Refused like any other body that is not a question.
        }
        throw Problem.malformed();
    }

    private static List<String> keys(String route, long item) {
        return switch (route) {
            case "slow" -> List.of("slow:" + item);
            case "fan-out" -> List.of("item:" + item, "item:" + (item + 1) % ITEMS, "item:" + (item + 2) % ITEMS);
            default -> List.of("item:" + item);
        };
    }

    /** Gets all keys at once: each by a virtual thread, or all on one connection before the first answer is read. */
    private List<String> fetchAll(List<String> keys) throws Problem {
        if (!threads.virtual || keys.size() == 1) return links.get(keys);
        var values = new String[keys.size()];
        var tasks = threads.startAll(keys.size(), index -> () -> {
            values[(int) index] = links.get(List.of(keys.get((int) index))).get(0);
            return 0;
        });
        Problem failed = null;
        for (var task : tasks) {
            try {
                task.join();
            } catch (Problem problem) {
                failed = problem;
            } catch (Exception error) {
                failed = Problem.backend();
            }
        }
        if (failed != null) throw failed;
        return List.of(values);
    }

    private static String answer(String route, String user, long item, long computed, List<String> values) throws Problem {
        long total = 0;
        long check = computed;
        int shown = SHOWN_LETTERS / values.size();
        var records = new ArrayList<Map<String, Object>>();
        for (var value : values) {
            var stored = record(value);
            var text = (String) stored.get("text");
            long price = (long) stored.get("price");
            total += price;
            check += (long) stored.get("id") + price % 1_000 + ((String) stored.get("name")).length() + ((List<?>) stored.get("tags")).size() + words(text);
            stored.put("text", text.substring(0, Math.min(text.length(), shown)));
            records.add(stored);
        }
        var answer = new LinkedHashMap<String, Object>();
        answer.put("route", route);
        answer.put("user", user);
        answer.put("item", item);
        answer.put("total", total);
        answer.put("records", records);
        answer.put("check", check);
        return Json.write(answer);
    }

    private static Map<String, Object> record(String text) throws Problem {
        try {
            @SuppressWarnings("unchecked") // A JSON object has names of this type.
            var stored = (Map<String, Object>) Json.parse(text);
            if (stored.get("id") instanceof Long && stored.get("price") instanceof Long && stored.get("name") instanceof String
                && stored.get("text") instanceof String && stored.get("tags") instanceof List<?>) return stored;
        } catch (Json.SyntaxError | ClassCastException error) {
            // The backend has sent something other than a record.
        }
        throw Problem.backend();
    }

    private static long words(String text) {
        long spaces = 0;
        for (int at = 0; at < text.length(); at++) if (text.charAt(at) == ' ') spaces++;
        return spaces + 1;
    }

    /** A limited number of connections to the backend, each for one caller at a time. */
    private static final class Links {
        private final InetSocketAddress address;
        private final Semaphore permits;
        private final long timeout;
        private final ConcurrentLinkedDeque<Link> idle = new ConcurrentLinkedDeque<>();

        Links(String address, int count, long timeout) {
            int colon = address.lastIndexOf(':');
            this.address = new InetSocketAddress(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
            permits = new Semaphore(count);
            this.timeout = timeout;
        }

        List<String> get(List<String> keys) throws Problem {
            try {
                if (!permits.tryAcquire(timeout, TimeUnit.NANOSECONDS)) throw Problem.late();
            } catch (InterruptedException error) {
                throw Problem.backend();
            }
            try {
                return ask(keys);
            } finally {
                permits.release();
            }
        }

        private List<String> ask(List<String> keys) throws Problem {
            int millis = (int) Math.max(TimeUnit.NANOSECONDS.toMillis(timeout), 1);
            while (true) {
                var used = idle.pollFirst();
                var link = used;
                try {
                    if (link == null) link = new Link(address, millis);
                    var values = link.get(keys);
                    idle.addFirst(link);
                    return values;
                } catch (SocketTimeoutException late) {
                    close(link);
                    throw Problem.late();
                } catch (IOException error) {
                    close(link);
                    // The backend may have closed a connection that was used before.
                    if (used == null) throw Problem.backend();
                }
            }
        }

        private static void close(Link link) {
            try {
                if (link != null) link.socket.close();
            } catch (IOException ended) {
                // The connection is closed already.
            }
        }

        void close() {
            idle.forEach(Links::close);
        }
    }

    private static final class Link {
        private final Socket socket = new Socket();
        private final InputStream input;

        Link(InetSocketAddress address, int millis) throws IOException {
            try {
                socket.connect(address, millis);
                socket.setTcpNoDelay(true);
                socket.setSoTimeout(millis);
                input = new BufferedInputStream(socket.getInputStream());
            } catch (IOException error) {
                socket.close();
                throw error;
            }
        }

        List<String> get(List<String> keys) throws IOException, Problem {
            var commands = new StringBuilder();
            for (var key : keys) commands.append("*2\r\n$3\r\nGET\r\n$").append(key.length()).append("\r\n").append(key).append("\r\n");
            socket.getOutputStream().write(commands.toString().getBytes(StandardCharsets.US_ASCII));
            var values = new ArrayList<String>();
            for (int left = keys.size(); left > 0; left--) values.add(value());
            return values;
        }

        private String value() throws IOException {
            var head = line();
            if (!head.startsWith("$")) throw new IOException("the backend answered " + head);
            int size;
            try {
                size = Integer.parseInt(head.substring(1));
            } catch (NumberFormatException error) {
                throw new IOException("the backend answered " + head, error);
            }
            // Every key of the service has a value.
            if (size < 0) throw new IOException("the backend has no such key");
            var bytes = input.readNBytes(size + 2);
            if (bytes.length < size + 2) throw new IOException("the backend closed the connection");
            return new String(bytes, 0, size, StandardCharsets.UTF_8);
        }

        private String line() throws IOException {
            var line = new StringBuilder();
            for (int next; (next = input.read()) != '\r';) {
                if (next < 0) throw new IOException("the backend closed the connection");
                line.append((char) next);
            }
            input.read();
            return line.toString();
        }
    }
}
