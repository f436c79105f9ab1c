"""The workloads on tasks that block, written once for threads and processes."""

import importlib
import os
import smtplib
import socket
import subprocess
import sys
import time
from itertools import chain

import load
from catalogue import CHUNKED, WEAK
from files import add_up, files, forget
from kernels.descend import descend
from kernels.lehmer import following, lehmer
from kernels.primes import is_prime
from kernels.working_set import array
from measure import Clock, Meter, difference_since, histogram, median, now, ticks, used, without
from protocol import Failure, read_memory

MOST_LEAVES = 10_000
MAIL_FROM, MAIL_TO = "sender@example.com", "receiver@example.com"
MAIL_TEXT = f"From: <{MAIL_FROM}>\r\nTo: <{MAIL_TO}>\r\nSubject: Hello\r\n\r\nOne of many.\r\n"


class Blocking:
    """A lane. Its subclasses define what a task, a channel, a gate and a lock are."""

    def refuses(self, workload):
        if workload == "switch.futex":
            return "Python has no call for a futex"
        if workload == "service.http":
            return "the standard library's http.server is not for production, as its page says; see python-asyncio"
        if workload == "share.select":
            return "Python cannot wait for two queues at once"
        return load.MISSING if workload in (*load.LOADED, "io.email") else None

    def run(self, order):
        kernel = CHUNKED.get(order.workload)
        if kernel:
            return chunks(self, order, importlib.import_module("kernels." + kernel))
        return SHAPES[order.workload](self, order)

    def meter(self):
        return Meter(self.processes)


class Team:
    """Tasks that block on a gate until all of them have started."""

    def __init__(self, lane):
        self._lane = lane
        self._gate = lane.gate()
        self._arrived = lane.arrivals()
        self._tasks = []

    def add(self, function, *arguments):
        self._tasks.append(self._lane.spawn(self._wait, function, arguments))

    def _wait(self, function, arguments):
        self._arrived.release()
        self._gate.wait()
        return function(*arguments)

    def assemble(self):
        for _ in self._tasks:
            self._arrived.acquire()

    def start(self):
        self._gate.set()

    def join(self):
        """Joins the tasks; the sum of their values."""
        return join_all(self._tasks)

    def timed(self, meter, main=None):
        """Times the team from opening the gate to the last join; the result of the tasks or of the main task."""
        self.assemble()
        with meter:
            self.start()
            total = main and main()
            handed = self.join()
        return handed if main is None else total


def join_all(tasks):
    return sum(task.result() for task in tasks)


# spawn


def spawn_one(lane, order):
    total, meter = 0, lane.meter()
    with meter:
        for _ in range(order.iterations):
            total += lane.spawn(int, 1).result()
    return meter.outcome(order.iterations, total)


def spawn_batch(lane, order):
    total, meter = 0, lane.meter()
    with meter:
        for _ in range(order.iterations):
            total += join_all([lane.spawn(int, index + 1) for index in range(order["tasks_count"])])
    return meter.outcome(order.iterations * order["tasks_count"], total)


def first_instruction(lane, order):
    returns, firsts, finishes, meter = [], [], [], lane.meter()
    with meter:
        for _ in range(order.iterations):
            called = now()
            task = lane.spawn(now)
            returned = now()
            ran = task.result()
            finished = now()
            returns.append(returned - called)
            firsts.append(ran - called)
            finishes.append(finished - ran)
    metrics = {
        "spawn_return_ns": median(returns), "first_instruction_ns": median(firsts), "finish_ns": median(finishes),
    }
    latency = histogram(firsts, meter.per_second(order.iterations))
    handed = sum(ns > 0 for ns in firsts)
    return meter.outcome(order.iterations, handed, metrics=metrics, latency=latency)


def skynet(lane, order):
    leaves = order["leaves_count"]
    if str(leaves).strip("0") != "1" or leaves < 10:
        raise Failure("bad_request", f"leaves_count is {leaves}; it must be a power of 10, 10 or more")
    if leaves > MOST_LEAVES:
        raise Failure("not_supported", f"{leaves} leaves are more threads at once than a host allows, so this lane grows {MOST_LEAVES} at most")

    def grow(first, leaves):
        if leaves == 1:
            return first
        return join_all([lane.spawn(grow, first + i * leaves // 10, leaves // 10) for i in range(10)])

    total, meter = 0, lane.meter()
    with meter:
        for _ in range(order.iterations):
            total += lane.spawn(grow, 0, leaves).result()
    return meter.outcome(order.iterations * leaves, total)


# switch


def yields(lane, order):
    count = order["yields_count"] * order.iterations

    def body():
        done = 0
        while done < count:
            os.sched_yield()
            done += 1
        return done

    meter, team = lane.meter(), Team(lane)
    for _ in range(order["tasks_count"]):
        team.add(body)
    total = team.timed(meter)
    return meter.outcome(order["tasks_count"] * count, total)


def ping_pong(lane, order, cpus=(None, None), capacity=0):
    rounds, meter, team = order["rounds_count"] * order.iterations, lane.meter(), Team(lane)
    there, back = lane.channel(capacity), lane.channel(capacity)

    def other():
        pin(cpus[1])
        for _ in range(rounds):
            back.put(there.get() + 1)
        return 0

    team.add(other)
    pin(cpus[0])
    team.assemble()
    team.start()
    value = 0
    with meter:
        for _ in range(rounds):
            there.put(value)
            value = back.get()
    team.join()
    return meter.outcome(rounds, value)


def pin(cpu):
    """Pins the calling thread."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


def round_trip(lane, order):
    allowed = os.sched_getaffinity(0)
    cpu = min(allowed) if order.or_cpus("workers_count") == 1 else None
    try:
        return ping_pong(lane, order, (cpu, cpu), order["capacity_count"])
    finally:
        os.sched_setaffinity(0, allowed)


class Pipe:
    """A kernel pipe that carries numbers of 8 bytes."""

    def __init__(self):
        self._ends = os.pipe()

    def put(self, value):
        os.write(self._ends[1], value.to_bytes(8, "little"))

    def get(self):
        return int.from_bytes(os.read(self._ends[0], 8), "little")

    def close(self):
        for end in self._ends:
            os.close(end)


class Pipes(list):
    """Pipes that are closed together."""

    def __init__(self, count):
        super().__init__()
        try:
            for _ in range(count):
                self.append(Pipe())
        except OSError:
            self.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for pipe in self:
            pipe.close()


def pass_on(start, end, times):
    for _ in range(times):
        end.put(start.get() + 1)
    return 0


def pipe_ping_pong(lane, order):
    rounds, meter, team = order["rounds_count"] * order.iterations, lane.meter(), Team(lane)
    with Pipes(2) as (there, back):
        team.add(pass_on, there, back, rounds)
        team.assemble()
        team.start()
        value = 0
        with meter:
            for _ in range(rounds):
                there.put(value)
                value = back.get()
        team.join()
    return meter.outcome(rounds, value)


def ring(lane, order, size=0, **further):
    tasks, hops = order["tasks_count"], order["hops_count"] * order.iterations
    meter, team = lane.meter(), Team(lane)
    channels, end = [lane.channel(1) for _ in range(tasks)], lane.channel(1)

    def hop(index):
        own = array(size)
        start, to, total = channels[index], channels[(index + 1) % tasks], 0
        for _ in range(hops // tasks + (index < hops % tasks)):
            value = start.get() + 1
            total += sum(own)
            (end if value == hops else to).put(value)
        return total

    for index in range(tasks):
        team.add(hop, index)
    team.assemble()
    team.start()
    with meter:
        channels[0].put(0)
        value = end.get()
    total = team.join()
    return meter.outcome(hops, value + total, **further)


def working_set(lane, order):
    size, tasks = order["size_bytes"], order["tasks_count"]
    if not size:
        return ring(lane, order)
    arrays = [array(size) for _ in range(tasks)]
    start = now()
    for own in arrays * 4:
        sum(own)
    alone = (now() - start) / (4 * tasks)
    return ring(lane, order, size, metrics={"sum_alone_ns": alone})


def hog(lane, order):
    hogs, ns, meter = order.or_cpus("hogs_count"), order["hog_ns"], lane.meter()
    slept, stop, noted = lane.arrivals(), lane.gate(), lane.channel(1)

    def victim():
        clock = Clock(order["tick_ns"])
        while not stop.is_set():
            time.sleep(clock.rest_s())
            clock.look()
            slept.release()
        noted.put(clock.delays)
        return 0

    def spin():
        end = now() + ns
        while now() < end:
            pass
        return 1

    sleeper = lane.spawn(victim)
    slept.acquire()
    done = 0
    with meter:
        for _ in range(order.iterations):
            done += join_all([lane.spawn(spin) for _ in range(hogs)])
    stop.set()
    delays = noted.get()
    sleeper.result()
    return meter.outcome(order.iterations, done // hogs, **ticks(delays, order["tick_ns"], meter))


def idle_wake(lane, order):
    rounds, idle_s, meter = order["rounds_count"] * order.iterations, order["idle_ns"] / 1e9, lane.meter()
    there, back, team = lane.channel(0), lane.channel(0), Team(lane)

    def other():
        for _ in range(rounds):
            back.put(-there.get() + now())
        return 0

    team.add(other)
    team.assemble()
    team.start()
    wakes = []
    with meter:
        for _ in range(rounds):
            if idle_s:
                time.sleep(idle_s)
            there.put(now())
            wakes.append(back.get())
    team.join()
    latency = histogram(wakes, meter.per_second(rounds))
    return meter.outcome(rounds, len(wakes), latency=latency, metrics={"wake_ns": median(wakes)})


# memory


def parked(lane, order):
    def body(index, wait):
        wait()
        return index + 1

    return hold(lane, order, body)


def deep(lane, order):
    allow_calls(order["levels_count"])
    return hold(lane, order, lambda _, wait: descend(order["levels_count"], wait))


def shrink(lane, order):
    def body(_, wait):
        depth = descend(order["levels_count"], lambda: None)
        wait()
        return depth

    allow_calls(order["levels_count"])
    return hold(lane, order, body)


def allow_calls(levels):
    sys.setrecursionlimit(max(sys.getrecursionlimit(), levels + 1_000))


def hold(lane, order, body):
    """Requests a reading of the ledger without waiting tasks, then one with them."""
    count = order["tasks_count"]
    Waiting(lane, 1, body).end()  # Costs that only the first task has are not counted.
    meter = lane.meter()
    read_memory()
    with meter:
        waiting = Waiting(lane, count, body)
    time.sleep(order["wait_ns"] / 1e9)
    read_memory()
    return meter.outcome(count, waiting.end())


class Waiting:
    """Starts tasks, and returns when all of them wait at a gate."""

    def __init__(self, lane, count, body):
        self._gate, self._arrived, self._tasks = lane.gate(), lane.arrivals(), []
        try:
            for index in range(count):
                self._tasks.append(lane.spawn(body, index, self._wait))
        except Exception:
            self.end()
            raise
        for _ in range(count):
            self._arrived.acquire()

    def _wait(self):
        self._arrived.release()
        self._gate.wait()

    def end(self):
        """Opens the gate; the sum of the values that they hand over."""
        self._gate.set()
        return join_all(self._tasks)


# share


def produce(to, items, times):
    for _ in range(times):
        for item in range(1, items + 1):
            to.put(item)
    return 0


def receive(start, count):
    return sum(start.get() for _ in range(count))


def counter(lane, order):
    tasks, additions = order["tasks_count"], order["additions_count"] * order.iterations
    meter, team, means = lane.meter(), Team(lane), order["means"]
    if means == 0:
        raise Failure("not_supported", "Python has no atomic whole numbers")
    if means == 1:
        lock, count = lane.lock(), lane.number()

        def add():
            for _ in range(additions):
                with lock:
                    count.value += 1
            return 0

        for _ in range(tasks):
            team.add(add)
        team.timed(meter)
        return meter.outcome(tasks * additions, count.value)
    channel = lane.channel(order["capacity_count"])
    for _ in range(tasks):
        team.add(produce, channel, 1, additions)
    team.add(receive, channel, tasks * additions)
    total = team.timed(meter)
    return meter.outcome(tasks * additions, total)


def pipeline(lane, order):
    stages, items, capacity = order["stages_count"], order["items_count"], order["capacity_count"]
    count, meter, team = items * order.iterations, lane.meter(), Team(lane)
    first = last = lane.channel(capacity)

    def source():
        for _ in range(order.iterations):
            for item in range(items):
                first.put(item)
        return 0

    team.add(source)
    for _ in range(stages):
        start, last = last, lane.channel(capacity)
        team.add(pass_on, start, last, count)
    total = team.timed(meter, lambda: receive(last, count))
    return meter.outcome(count * (stages + 1), total)


def sieve(lane, order):
    limit = order["limit_count"]

    def source(to):
        for number in chain(range(2, limit + 1), [0]):
            to.put(number)
        return 0

    def filter_out(start):
        prime = start.get()
        if prime == 0:
            return 0
        to = lane.channel(0)
        following = lane.spawn(filter_out, to)
        while number := start.get():
            if number % prime:
                to.put(number)
        to.put(0)
        return prime + following.result()

    total, meter = 0, lane.meter()
    with meter:
        for _ in range(order.iterations):
            numbers = lane.channel(0)
            tasks = [lane.spawn(filter_out, numbers), lane.spawn(source, numbers)]
            total += join_all(tasks)
    return meter.outcome(order.iterations * sum(map(is_prime, range(limit + 1))), total)


def fan_in(lane, order):
    producers, items = order["producers_count"], order["items_count"]
    count, meter, team, channel = producers * items * order.iterations, lane.meter(), Team(lane), lane.channel(order["capacity_count"])
    for _ in range(producers):
        team.add(produce, channel, items, order.iterations)
    total = team.timed(meter, lambda: receive(channel, count))
    return meter.outcome(count, total)


def worker_pool(lane, order):
    workers, jobs, steps = order.or_cpus("workers_count"), order["jobs_count"], order["steps_count"]
    meter, team = lane.meter(), Team(lane)
    todo, done = lane.channel(order["capacity_count"]), lane.channel(order["capacity_count"])

    def work():
        while job := todo.get():
            done.put(lehmer(job, steps))
        return 0

    def source():
        produce(todo, jobs, order.iterations)
        for _ in range(workers):
            todo.put(0)
        return 0

    for _ in range(workers):
        team.add(work)
    team.add(source)
    total = team.timed(meter, lambda: receive(done, jobs * order.iterations))
    return meter.outcome(jobs * order.iterations, total)


def bounded_buffer(lane, order):
    tasks, items = order["tasks_count"], order["items_count"]
    meter, team, buffer = lane.meter(), Team(lane), lane.channel(order["capacity_count"])
    for _ in range(tasks):
        team.add(produce, buffer, items, order.iterations)
        team.add(receive, buffer, items * order.iterations)
    total = team.timed(meter)
    return meter.outcome(order.iterations * tasks * items, total)


def chameneos(lane, order):
    creatures, meetings = order["creatures_count"], order["meetings_count"] * order.iterations
    if creatures < 2:
        raise Failure("bad_request", f"creatures_count is {creatures}; two must be there to meet")
    meter, team, requests = lane.meter(), Team(lane), lane.channel(creatures)
    answers = [lane.channel(1) for _ in range(creatures)]

    def mall():
        for _ in range(meetings):
            first, second = requests.get(), requests.get()
            answers[first // 4].put(second % 4 + 1)
            answers[second // 4].put(first % 4 + 1)
        for _ in range(creatures):
            answers[requests.get() // 4].put(0)
        return 0

    def meet(creature):
        colour, met = creature % 3, 0
        requests.put(4 * creature + colour)
        while answer := answers[creature].get():
            other = answer - 1
            if other != colour:
                colour = 3 - colour - other
            met += 1
            requests.put(4 * creature + colour)
        return met

    for creature in range(creatures):
        team.add(meet, creature)
    team.add(mall)
    total = team.timed(meter)
    return meter.outcome(meetings, total)


def big(lane, order):
    tasks, pings = order["tasks_count"], order["pings_count"] * order.iterations
    if tasks < 2:
        raise Failure("bad_request", f"tasks_count is {tasks}; two must be there to ask")
    meter, team, finished = lane.meter(), Team(lane), lane.channel(tasks)
    boxes = [lane.channel(tasks + 1) for _ in range(tasks)]

    def ask(index):
        x, answers = lehmer(index, 1), 0
        boxes[(index + 1 + x % (tasks - 1)) % tasks].put(index + 1)
        while message := boxes[index].get():
            if message <= tasks:
                boxes[message - 1].put(tasks + 1)
                continue
            answers += 1
            if answers < pings:
                x = following(x)
                boxes[(index + 1 + x % (tasks - 1)) % tasks].put(index + 1)
            else:
                finished.put(1)
        return answers

    def end():
        for _ in range(tasks):
            finished.get()
        for box in boxes:
            box.put(0)
        return 0

    for index in range(tasks):
        team.add(ask, index)
    team.add(end)
    total = team.timed(meter)
    return meter.outcome(tasks * pings, total)


def philosophers(lane, order):
    tasks, rounds = order["tasks_count"], order["rounds_count"] * order.iterations
    if tasks < 2:
        raise Failure("bad_request", f"tasks_count is {tasks}; a philosopher alone has one fork only")
    meter, team, forks = lane.meter(), Team(lane), [lane.lock() for _ in range(tasks)]

    def eat(index):
        low, high = sorted((index, (index + 1) % tasks))
        meals = 0
        for _ in range(rounds):
            with forks[low], forks[high]:
                meals += 1
        return meals

    for index in range(tasks):
        team.add(eat, index)
    total = team.timed(meter)
    return meter.outcome(tasks * rounds, total)


def messaging(lane, order):
    senders, loops = order["senders_count"], order["loops_count"] * order.iterations
    meter, team = lane.meter(), Team(lane)

    def send(receivers):
        for _ in range(loops):
            for receiver in receivers:
                receiver.put(1)
        return 0

    for _ in range(order["groups_count"]):
        receivers = [lane.channel(order["capacity_count"]) for _ in range(senders)]
        for receiver in receivers:
            team.add(receive, receiver, senders * loops)
        for _ in range(senders):
            team.add(send, receivers)
    total = team.timed(meter)
    return meter.outcome(order["groups_count"] * senders * senders * loops, total)


def brigade(lane, order):
    tasks, rounds = order["tasks_count"], order["rounds_count"] * order.iterations
    meter, team = lane.meter(), Team(lane)
    with Pipes(tasks + 1) as pipes:
        for start, end in zip(pipes, pipes[1:]):
            team.add(pass_on, start, end, rounds)
        team.assemble()
        team.start()
        value = 0
        with meter:
            for _ in range(rounds):
                pipes[0].put(value)
                value = pipes[-1].get()
        team.join()
    return meter.outcome(rounds * (tasks + 1), value)


# cpu


def chunks(lane, order, kernel):
    total, meter, workers = 0, lane.meter(), order.or_cpus("workers_count")
    copies = workers if order.workload.endswith(WEAK) else 1
    numbers = list(range(order["chunks_count"])) * copies
    chunk = kernel.prepare(order.parameters)
    with lane.pool(workers, chunk) as run:
        with meter:
            for _ in range(order.iterations):
                total += sum(run(numbers))
    return meter.outcome(order.iterations, total)


# io


def sleepers(lane, order):
    tasks, sleep_ns = order["tasks_count"], order["sleep_ns"]

    def sleep(index):
        time.sleep(sleep_ns / 1e9)
        return index + 1

    total, meter = 0, lane.meter()
    with meter:
        for _ in range(order.iterations):
            total += join_all([lane.spawn(sleep, index) for index in range(tasks)])
    metrics = {"over_ns": meter.elapsed / order.iterations - sleep_ns}
    return meter.outcome(order.iterations * tasks, total, metrics=metrics)


def echo(connection, block_bytes):
    with connection:
        while block := connection.recv(block_bytes):
            connection.sendall(block)
    return 0


def tcp_echo(lane, order):
    before, tasks = used(), []
    with socket.create_server(("127.0.0.1", 0), backlog=order["connections_count"]) as server:
        # With a time-out, to notice a generator that has failed.
        server.settimeout(0.2)
        generator = subprocess.Popen(
            load.arguments(order, server.getsockname()),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        while len(tasks) < order["connections_count"] and generator.poll() is None:
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tasks.append(lane.spawn(echo, connection, load.block_bytes(order)))
            if lane.processes:
                connection.close()  # The child has its own copy.
        printed, errors = generator.communicate()
    report = load.report(generator.returncode, printed, errors)
    join_all(tasks)
    return load.outcome(report, without(difference_since(before), report))


def fanout(lane, order):
    requests, waits = order["requests_count"], order["waits_count"]
    wait_s, steps = order["wait_ns"] / 1e9, order["steps_count"]

    def wait():
        time.sleep(wait_s)
        return 1

    def request(index):
        waiting = [lane.spawn(wait) for _ in range(waits)]
        return lehmer(index, steps) % 1000 + join_all(waiting)

    total, meter = 0, lane.meter()
    with meter:
        for _ in range(order.iterations):
            total += join_all([lane.spawn(request, index) for index in range(requests)])
    return meter.outcome(order.iterations * requests, total)


def send_mail(address):
    # With a name, because the default name is looked up in the DNS.
    with smtplib.SMTP(*address, local_hostname="localhost") as client:
        client.sendmail(MAIL_FROM, [MAIL_TO], MAIL_TEXT)
    return 0


def email(lane, order):
    tasks, meter, server = order["tasks_count"], lane.meter(), load.MailServer(order["delay_ns"])
    try:
        with meter:
            for _ in range(order.iterations):
                join_all([lane.spawn(send_mail, server.address) for _ in range(tasks)])
        accepted, cpu_ns = server.accepted()
        metrics = {"load_busy_ratio": cpu_ns / max(meter.elapsed, 1)}
        return meter.outcome(order.iterations * tasks, accepted, metrics=metrics)
    finally:
        server.end()


def file_read(lane, order):
    tasks, total, meter = order["tasks_count"], 0, lane.meter()
    with files(tasks, order["file_bytes"]) as paths:
        for _ in range(order.iterations):
            if order["cold"]:
                forget(paths)
            with meter:
                total += join_all([lane.spawn(add_up, path, order["block_bytes"]) for path in paths])
    return meter.outcome(order.iterations * tasks, total)


SHAPES = {
    "spawn.one": spawn_one, "spawn.batch": spawn_batch, "spawn.first_instruction": first_instruction,
    "spawn.skynet": skynet,
    "switch.yield": yields, "switch.pingpong": ping_pong, "switch.roundtrip": round_trip,
    "switch.pipe": pipe_ping_pong, "switch.ring": ring,
    "switch.hog": hog, "switch.working_set": working_set,
    "switch.idle_wake": idle_wake,
    "memory.parked": parked, "memory.deep": deep, "memory.shrink": shrink, "memory.million": parked,
    "share.counter": counter, "share.pipeline": pipeline, "share.sieve": sieve, "share.fan_in": fan_in,
    "share.worker_pool": worker_pool, "share.bounded_buffer": bounded_buffer, "share.chameneos": chameneos,
    "share.big": big, "share.philosophers": philosophers, "share.messaging": messaging, "share.brigade": brigade,
    "io.sleepers": sleepers, "io.tcp_echo": tcp_echo, "io.tcp_latency": tcp_echo, "io.tcp_burst": tcp_echo, "io.fanout": fanout,
    "io.file_read": file_read, "io.email": email,
}
