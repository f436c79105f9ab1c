"""The service of service.http on asyncio's streams, as PROTOCOL.md says."""

import asyncio
import hashlib
import hmac
import json
import os
import socket
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress

import load
from kernels.lehmer import lehmer
from measure import difference_since, used, without

ITEMS = 1000
USERS = 16
MOST_HEAD_BYTES = 8 << 10
MOST_BODY_BYTES = 64 << 10
IDLE_S = 60
SHOWN_LETTERS = 600
ROUTES = ("/cheap", "/compute", "/fan-out", "/slow")
REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout",
}


class Problem(Exception):
    """The reason why there is no answer."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def malformed():
    return Problem(400, "this is no request of this service")


def backend_failed():
    return Problem(502, "the backend did not answer")


async def service_http(order):
    backend = await asyncio.create_subprocess_exec(
        load.PROGRAM, "backend", *load.assignments(order), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        line = await backend.stdout.readline()
        return await serve_loaded(order, json.loads(line)["address"])
    finally:
        backend.stdin.close()
        await backend.wait()


async def serve_loaded(order, backend):
    before = used()
    # Forked before sockets are opened, which the processes would hold open.
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as computers:
        computers.submit(os.getpid).result()
        service = Service(order, backend, computers)
        address = await service.listen()
        try:
            generator = await asyncio.create_subprocess_exec(
                load.PROGRAM, "load-service", "--address", address, *load.assignments(order),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )
            printed, errors = await generator.communicate()
        finally:
            await service.end()
            await service.ended()
    report = load.report(generator.returncode, printed, errors)
    # The report of a search describes only its last part, so the sample gets only that part's share of the usage.
    share = report["operations_count"] / report["metrics"]["load_asked_count"]
    own = without(difference_since(before), report)
    return load.outcome(report, {name: round(value * share) for name, value in own.items()})


class Service:
    """The state that all requests share."""

    def __init__(self, order, backend, computers):
        self._order, self._computers = order, computers
        self._pool = Pool(backend, order["pool_count"], order["timeout_ns"] / 1e9)
        users = [f"u{number}" for number in range(USERS)]
        self._hashes = {user: self._hash(user, f"secret of {user}") for user in users}
        self._in_flight, self._ends = 0, False
        self._reading, self._tasks = set(), set()

    async def listen(self):
        # The longest queue that the host allows.
        host, port = os.environ.get("THREADBARE_LISTEN", "127.0.0.1:0").split(":")
        self._server = await asyncio.start_server(self._converse, host, int(port), backlog=65_535)
        return "{}:{}".format(*self._server.sockets[0].getsockname())

    async def end(self):
        """Accepts no more connections, and no more requests on open connections."""
        if self._ends:
            return
        self._ends = True
        self._server.close()
        # Requests that have arrived are read before connections without a request are closed.
        await asyncio.sleep(0)
        for task in self._reading:
            task.cancel()

    async def ended(self):
        """Waits until the requests in progress are answered."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=IDLE_S)
        self._pool.close()

    async def _converse(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._one(reader, writer, task):
                pass
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # The task ends with its client, or with the service.
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader, writer, task):
        """Reads and answers a request; returns whether the connection continues."""
        self._reading.add(task)
        try:
            async with asyncio.timeout(IDLE_S):
                request = await read_request(reader)
        except Problem as problem:
            request, failed = None, problem
        finally:
            self._reading.discard(task)
        if request:
            try:
                status, body = 200, await self._reply(*request)
            except Problem as problem:
                failed, request = problem, request
                status, body = failed.status, json.dumps({"error": str(failed)}).encode()
        else:
            status, body = failed.status, json.dumps({"error": str(failed)}).encode()
        closes = self._ends or not request or request[2].get("connection", "").lower() == "close"
        connection = "Connection: close\r\n" if closes else ""
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{connection}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        return not closes

    async def _reply(self, method, path, headers, body):
        if path == "/drain":
            await self.end()
            return b"{}"
        if method != "POST" or path not in ROUTES:
            raise Problem(404, "there is nothing at this path")
        if self._in_flight >= self._order["in_flight_count"]:
            raise Problem(503, "too many requests at the same time")
        self._in_flight += 1
        try:
            user = self._who(headers.get("authorization", ""))
            item = item_of(body)
            values = await asyncio.gather(*(self._pool.get(key) for key in keys_of(path, item)))
            computed = 0
            if path == "/compute":
                # Longer than a call should block the loop.
                work = asyncio.get_running_loop().run_in_executor(self._computers, lehmer, item, self._order["steps_count"])
                computed = await work % 1000
            return answer(path[1:], user, item, computed, values)
        finally:
            self._in_flight -= 1

    def _who(self, authorization):
        """The user of "Bearer USER:SECRET". Computes the hash of the secret."""
        scheme, _, token = authorization.partition(" ")
        user, _, secret = token.partition(":")
        right = self._hashes.get(user)
        if scheme != "Bearer" or right is None or not hmac.compare_digest(self._hash(user, secret), right):
            raise Problem(401, "the key is wrong")
        return user

    def _hash(self, user, secret):
        return hashlib.pbkdf2_hmac("sha256", secret.encode(), user.encode(), self._order["rounds_count"])


async def read_request(reader):
    """A request's method, path, headers and body."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise malformed() from error
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    try:
        method, path, version = first.split(" ")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        size = int(headers.get("content-length", "0"))
    except ValueError as error:
        raise malformed() from error
    if not version.startswith("HTTP/1.") or not 0 <= size <= MOST_BODY_BYTES or len(head) > MOST_HEAD_BYTES or "transfer-encoding" in headers:
        raise malformed()
    return method, path, headers, await reader.readexactly(size)


def item_of(body):
    try:
        item = json.loads(body)["item"]
    except (ValueError, TypeError, KeyError) as error:
        raise malformed() from error
    if type(item) is not int or item < 0:
        raise malformed()
    return item % ITEMS


def keys_of(path, item):
    if path == "/slow":
        return [f"slow:{item}"]
    items = (item, item + 1, item + 2) if path == "/fan-out" else (item,)
    return [f"item:{one % ITEMS}" for one in items]


def answer(route, user, item, computed, values):
    records = [json.loads(value) for value in values]
    check = computed
    for record in records:
        words = record["text"].count(" ") + 1
        check += record["id"] + record["price"] % 1000 + len(record["name"]) + len(record["tags"]) + words
        record["text"] = record["text"][: SHOWN_LETTERS // len(records)]
    total = sum(record["price"] for record in records)
    whole = {"route": route, "user": user, "item": item, "total": total, "records": records, "check": check}
    return json.dumps(whole, separators=(",", ":")).encode()


class Pool:
    """A limited number of connections to the backend, each for one request at a time."""

    def __init__(self, address, count, timeout):
        self._address, self._timeout = address.rsplit(":", 1), timeout
        self._permits, self._links = asyncio.Semaphore(count), []

    async def get(self, key):
        """The value of a key."""
        try:
            async with asyncio.timeout(self._timeout), self._permits:
                value = await self._ask(key)
        except TimeoutError as error:
            raise Problem(504, "the backend did not answer in time") from error
        if value is None:
            raise backend_failed()
        return value

    async def _ask(self, key):
        while True:
            is_used = bool(self._links)
            try:
                async with self._link() as (reader, writer):
                    writer.write(f"*2\r\n$3\r\nGET\r\n${len(key)}\r\n{key}\r\n".encode())
                    head = await reader.readuntil(b"\r\n")
                    if not head.startswith(b"$"):
                        raise OSError(f"the backend answered {head}")
                    size = int(head[1:])
                    return None if size < 0 else (await reader.readexactly(size + 2))[:-2]
            except TimeoutError:
                raise
            except (OSError, EOFError, ValueError) as error:
                # The backend may have closed a connection that was used before.
                if not is_used:
                    raise backend_failed() from error

    @asynccontextmanager
    async def _link(self):
        """A connection, which is kept for further requests if this one was answered."""
        reader, writer = self._links.pop() if self._links else await asyncio.open_connection(*self._address)
        try:
            yield reader, writer
        except BaseException:
            writer.close()
            raise
        self._links.append((reader, writer))

    def close(self):
        for _, writer in self._links:
            with suppress(OSError):
                writer.close()
        self._links.clear()
