"""The lane python-asyncio: a task is an `asyncio.Task`, and all run on one thread."""

import asyncio
import functools
import os
import socket
from contextlib import asynccontextmanager
from itertools import chain

import load
from blocking import Pipe, allow_calls
from files import add_up, files, forget
from kernels.descend import descend_async
from kernels.lehmer import following, lehmer
from kernels.primes import is_prime
from kernels.working_set import array
from measure import Clock, Meter, difference_since, histogram, median, now, ticks, used, without
from protocol import Failure, read_memory
from service import service_http


def refuses(workload):
    if workload == "spawn.fork_rss":
        return "only for processes"
    if workload.startswith("cpu."):
        return "all coroutines run on one thread: asyncio does not spread work over cores"
    if workload == "switch.futex":
        return "Python has no call for a futex, which would block the thread"
    if workload == "service.http" and not hasattr(asyncio, "timeout"):
        return "asyncio.timeout is in the standard library since Python 3.11"
    if workload == "io.email":
        return "the standard library's mail client blocks the thread"
    return load.MISSING if workload in load.LOADED else None


def run(order):
    # A fresh loop for each sample. Tasks that a failed sample leaves are cancelled.
    return asyncio.run(SHAPES[order.workload](order))


class Team:
    """Tasks that block on a gate until all of them have started."""

    def __init__(self):
        self._gate = asyncio.Event()
        self._tasks = []

    def add(self, body):
        self._tasks.append(asyncio.create_task(self._wait(body)))

    async def _wait(self, body):
        await self._gate.wait()
        return await body

    async def assemble(self):
        # Every started task runs once before this one continues.
        await asyncio.sleep(0)

    def start(self):
        self._gate.set()

    async def join(self):
        """Joins the tasks; the sum of their values."""
        return sum(await asyncio.gather(*self._tasks))

    async def timed(self, meter, main=None):
        """Times the team from opening the gate to the last join; the result of the tasks or of the main task."""
        await self.assemble()
        with meter:
            self.start()
            total = main and await main
            handed = await self.join()
        return handed if main is None else total


def channel(capacity):
    return asyncio.Queue(max(capacity, 1))


async def hand_over(value):
    return value


# spawn


async def spawn_one(order):
    total, meter = 0, Meter()
    with meter:
        for _ in range(order.iterations):
            total += await asyncio.create_task(hand_over(1))
    return meter.outcome(order.iterations, total)


async def spawn_batch(order):
    total, meter, tasks = 0, Meter(), order["tasks_count"]
    with meter:
        for _ in range(order.iterations):
            started = [asyncio.create_task(hand_over(index + 1)) for index in range(tasks)]
            total += sum(await asyncio.gather(*started))
    return meter.outcome(order.iterations * tasks, total)


async def first_instruction(order):
    async def first():
        return now()

    returns, firsts, finishes, meter = [], [], [], Meter()
    with meter:
        for _ in range(order.iterations):
            called = now()
            task = asyncio.create_task(first())
            returned = now()
            ran = await task
            finished = now()
            returns.append(returned - called)
            firsts.append(ran - called)
            finishes.append(finished - ran)
    metrics = {
        "spawn_return_ns": median(returns), "first_instruction_ns": median(firsts), "finish_ns": median(finishes),
    }
    latency = histogram(firsts, meter.per_second(order.iterations))
    return meter.outcome(order.iterations, sum(ns > 0 for ns in firsts), metrics=metrics, latency=latency)


async def skynet(order):
    leaves = order["leaves_count"]
    if str(leaves).strip("0") != "1" or leaves < 10:
        raise Failure("bad_request", f"leaves_count is {leaves}; it must be a power of 10, 10 or more")

    async def grow(first, leaves):
        if leaves == 1:
            return first
        children = [asyncio.create_task(grow(first + i * leaves // 10, leaves // 10)) for i in range(10)]
        return sum(await asyncio.gather(*children))

    total, meter = 0, Meter()
    with meter:
        for _ in range(order.iterations):
            total += await asyncio.create_task(grow(0, leaves))
    return meter.outcome(order.iterations * leaves, total)


# switch


async def yields(order):
    count = order["yields_count"] * order.iterations

    async def body():
        done = 0
        while done < count:
            await asyncio.sleep(0)
            done += 1
        return done

    meter, team = Meter(), Team()
    for _ in range(order["tasks_count"]):
        team.add(body())
    total = await team.timed(meter)
    return meter.outcome(order["tasks_count"] * count, total)


async def pass_on(start, end, times):
    for _ in range(times):
        await end.put(await start.get() + 1)
    return 0


async def ping_pong(order):
    return await rally(order["rounds_count"] * order.iterations, channel(0), channel(0))


async def round_trip(order):
    if order.or_cpus("workers_count") > 1:
        raise Failure("not_supported", "all coroutines run on one thread; ask for one worker")
    capacity = order["capacity_count"]
    return await rally(order["rounds_count"] * order.iterations, channel(capacity), channel(capacity))


async def rally(rounds, there, back):
    meter, team = Meter(), Team()
    team.add(pass_on(there, back, rounds))
    await team.assemble()
    team.start()
    value = 0
    with meter:
        for _ in range(rounds):
            await there.put(value)
            value = await back.get()
    await team.join()
    return meter.outcome(rounds, value)


class AsyncPipe(Pipe):
    """A kernel pipe, read through the loop's poller; a token always fits when it is written."""

    async def open(self):
        loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader()
        file = os.fdopen(self._ends[0], "rb", buffering=0)
        self._transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(self._reader), file)

    async def put(self, value):
        super().put(value)

    async def get(self):
        return int.from_bytes(await self._reader.readexactly(8), "little")

    def close(self):
        self._transport.close()  # This also closes the reading end.
        os.close(self._ends[1])


@asynccontextmanager
async def pipes(count):
    """Pipes that are closed together."""
    opened = []
    try:
        for _ in range(count):
            pipe = AsyncPipe()
            await pipe.open()
            opened.append(pipe)
        yield opened
    finally:
        for pipe in opened:
            pipe.close()


async def pipe_ping_pong(order):
    async with pipes(2) as (there, back):
        return await rally(order["rounds_count"] * order.iterations, there, back)


async def ring(order, size=0, **further):
    tasks, hops = order["tasks_count"], order["hops_count"] * order.iterations
    meter, team = Meter(), Team()
    channels, end = [channel(1) for _ in range(tasks)], channel(1)

    async def hop(index):
        own = array(size)
        start, to, total = channels[index], channels[(index + 1) % tasks], 0
        for _ in range(hops // tasks + (index < hops % tasks)):
            value = await start.get() + 1
            total += sum(own)
            await (end if value == hops else to).put(value)
        return total

    for index in range(tasks):
        team.add(hop(index))
    await team.assemble()
    team.start()
    with meter:
        await channels[0].put(0)
        value = await end.get()
    total = await team.join()
    return meter.outcome(hops, value + total, **further)


async def working_set(order):
    size, tasks = order["size_bytes"], order["tasks_count"]
    if not size:
        return await ring(order)
    arrays = [array(size) for _ in range(tasks)]
    start = now()
    for own in arrays * 4:
        sum(own)
    alone = (now() - start) / (4 * tasks)
    return await ring(order, size, metrics={"sum_alone_ns": alone})


async def hog(order):
    hogs, ns, meter, stop, clock = order.or_cpus("hogs_count"), order["hog_ns"], Meter(), asyncio.Event(), Clock(order["tick_ns"])

    async def victim():
        while not stop.is_set():
            await asyncio.sleep(clock.rest_s())
            clock.look()

    async def spin():
        end = now() + ns
        while now() < end:
            pass
        return 1

    sleeper = asyncio.create_task(victim())
    while not clock.delays:
        await asyncio.sleep(0)
    done = 0
    with meter:
        for _ in range(order.iterations):
            done += sum(await asyncio.gather(*(asyncio.create_task(spin()) for _ in range(hogs))))
    stop.set()
    await sleeper
    return meter.outcome(order.iterations, done // hogs, **ticks(clock.delays, order["tick_ns"], meter))


async def idle_wake(order):
    rounds, idle_s, meter = order["rounds_count"] * order.iterations, order["idle_ns"] / 1e9, Meter()
    there, back, team = channel(0), channel(0), Team()

    async def other():
        for _ in range(rounds):
            sent = await there.get()
            await back.put(now() - sent)
        return 0

    team.add(other())
    await team.assemble()
    team.start()
    wakes = []
    with meter:
        for _ in range(rounds):
            if idle_s:
                await asyncio.sleep(idle_s)
            await there.put(now())
            wakes.append(await back.get())
    await team.join()
    latency = histogram(wakes, meter.per_second(rounds))
    return meter.outcome(rounds, len(wakes), latency=latency, metrics={"wake_ns": median(wakes)})


# memory


async def parked(order):
    async def body(index, wait):
        await wait()
        return index + 1

    return await hold(order, body)


async def deep(order):
    allow_calls(order["levels_count"])
    return await hold(order, lambda _, wait: descend_async(order["levels_count"], wait))


async def shrink(order):
    async def body(_, wait):
        depth = await descend_async(order["levels_count"], nothing)
        await wait()
        return depth

    async def nothing():
        pass

    allow_calls(order["levels_count"])
    return await hold(order, body)


async def hold(order, body):
    """Requests a reading of the ledger without waiting tasks, then one with them. A request blocks the only thread."""
    count = order["tasks_count"]
    await (await Waiting.start(1, body)).end()  # Costs that only the first task has are not counted.
    meter = Meter()
    read_memory()
    with meter:
        waiting = await Waiting.start(count, body)
    await asyncio.sleep(order["wait_ns"] / 1e9)
    read_memory()
    return meter.outcome(count, await waiting.end())


class Waiting:
    """Starts tasks, and returns when all of them wait at a gate."""

    @classmethod
    async def start(cls, count, body):
        self = cls()
        self._gate, self._arrived = asyncio.Event(), 0
        self._tasks = [asyncio.create_task(body(index, self._wait)) for index in range(count)]
        while self._arrived < count:
            await asyncio.sleep(0)
        return self

    async def _wait(self):
        self._arrived += 1
        await self._gate.wait()

    async def end(self):
        """Opens the gate; the sum of the values that they hand over."""
        self._gate.set()
        return sum(await asyncio.gather(*self._tasks))


# share


async def produce(to, items, times):
    for _ in range(times):
        for item in range(1, items + 1):
            await to.put(item)
    return 0


async def receive(start, count):
    total = 0
    for _ in range(count):
        total += await start.get()
    return total


async def counter(order):
    tasks, additions, means = order["tasks_count"], order["additions_count"] * order.iterations, order["means"]
    meter, team, lock, count = Meter(), Team(), asyncio.Lock(), 0

    async def add():
        nonlocal count
        for _ in range(additions):
            async with lock:
                count += 1
        return 0

    async def add_at_once():
        nonlocal count
        for _ in range(additions):
            count += 1  # No other task runs before the next await.
        return 0

    if means < 2:
        for _ in range(tasks):
            team.add(add() if means else add_at_once())
        await team.timed(meter)
        return meter.outcome(tasks * additions, count)
    ones = channel(order["capacity_count"])
    for _ in range(tasks):
        team.add(produce(ones, 1, additions))
    team.add(receive(ones, tasks * additions))
    total = await team.timed(meter)
    return meter.outcome(tasks * additions, total)


async def pipeline(order):
    stages, items, capacity = order["stages_count"], order["items_count"], order["capacity_count"]
    count, meter, team = items * order.iterations, Meter(), Team()
    first = last = channel(capacity)

    async def source():
        for _ in range(order.iterations):
            for item in range(items):
                await first.put(item)
        return 0

    team.add(source())
    for _ in range(stages):
        start, last = last, channel(capacity)
        team.add(pass_on(start, last, count))
    total = await team.timed(meter, receive(last, count))
    return meter.outcome(count * (stages + 1), total)


async def sieve(order):
    limit = order["limit_count"]

    async def source(to):
        for number in chain(range(2, limit + 1), [0]):
            await to.put(number)
        return 0

    async def filter_out(start):
        prime = await start.get()
        if prime == 0:
            return 0
        to = channel(0)
        following = asyncio.create_task(filter_out(to))
        while number := await start.get():
            if number % prime:
                await to.put(number)
        await to.put(0)
        return prime + await following

    total, meter = 0, Meter()
    with meter:
        for _ in range(order.iterations):
            numbers = channel(0)
            tasks = asyncio.create_task(filter_out(numbers)), asyncio.create_task(source(numbers))
            total += sum(await asyncio.gather(*tasks))
    return meter.outcome(order.iterations * sum(map(is_prime, range(limit + 1))), total)


async def fan_in(order):
    producers, items = order["producers_count"], order["items_count"]
    count, meter, team, numbers = producers * items * order.iterations, Meter(), Team(), channel(order["capacity_count"])
    for _ in range(producers):
        team.add(produce(numbers, items, order.iterations))
    total = await team.timed(meter, receive(numbers, count))
    return meter.outcome(count, total)


async def select(order):
    items, meter, team, channels = order["items_count"], Meter(), Team(), [channel(0), channel(0)]
    count = 2 * items * order.iterations
    for numbers in channels:
        team.add(produce(numbers, items, order.iterations))

    async def receive_any():
        total = received = 0
        waiting = {asyncio.create_task(numbers.get()): numbers for numbers in channels}
        while received < count:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                numbers = waiting.pop(task)
                total += task.result()
                received += 1
                waiting[asyncio.create_task(numbers.get())] = numbers
        for task in waiting:
            task.cancel()
        return total

    total = await team.timed(meter, receive_any())
    return meter.outcome(count, total)


async def worker_pool(order):
    workers, jobs, steps = order.or_cpus("workers_count"), order["jobs_count"], order["steps_count"]
    meter, team, todo, done = Meter(), Team(), channel(order["capacity_count"]), channel(order["capacity_count"])

    async def work():
        while job := await todo.get():
            await done.put(lehmer(job, steps))
        return 0

    async def source():
        await produce(todo, jobs, order.iterations)
        for _ in range(workers):
            await todo.put(0)
        return 0

    for _ in range(workers):
        team.add(work())
    team.add(source())
    total = await team.timed(meter, receive(done, jobs * order.iterations))
    return meter.outcome(jobs * order.iterations, total)


async def bounded_buffer(order):
    tasks, items = order["tasks_count"], order["items_count"]
    meter, team, buffer = Meter(), Team(), channel(order["capacity_count"])
    for _ in range(tasks):
        team.add(produce(buffer, items, order.iterations))
        team.add(receive(buffer, items * order.iterations))
    total = await team.timed(meter)
    return meter.outcome(order.iterations * tasks * items, total)


async def chameneos(order):
    creatures, meetings = order["creatures_count"], order["meetings_count"] * order.iterations
    if creatures < 2:
        raise Failure("bad_request", f"creatures_count is {creatures}; two must be there to meet")
    meter, team, requests = Meter(), Team(), channel(creatures)
    answers = [channel(1) for _ in range(creatures)]

    async def mall():
        for _ in range(meetings):
            first, second = await requests.get(), await requests.get()
            await answers[first // 4].put(second % 4 + 1)
            await answers[second // 4].put(first % 4 + 1)
        for _ in range(creatures):
            await answers[await requests.get() // 4].put(0)
        return 0

    async def meet(creature):
        colour, met = creature % 3, 0
        await requests.put(4 * creature + colour)
        while answer := await answers[creature].get():
            other = answer - 1
            if other != colour:
                colour = 3 - colour - other
            met += 1
            await requests.put(4 * creature + colour)
        return met

    for creature in range(creatures):
        team.add(meet(creature))
    team.add(mall())
    total = await team.timed(meter)
    return meter.outcome(meetings, total)


async def big(order):
    tasks, pings = order["tasks_count"], order["pings_count"] * order.iterations
    if tasks < 2:
        raise Failure("bad_request", f"tasks_count is {tasks}; two must be there to ask")
    meter, team, finished = Meter(), Team(), channel(tasks)
    boxes = [channel(tasks + 1) for _ in range(tasks)]

    async def ask(index):
        x, answers = lehmer(index, 1), 0
        await boxes[(index + 1 + x % (tasks - 1)) % tasks].put(index + 1)
        while message := await boxes[index].get():
            if message <= tasks:
                await boxes[message - 1].put(tasks + 1)
                continue
            answers += 1
            if answers < pings:
                x = following(x)
                await boxes[(index + 1 + x % (tasks - 1)) % tasks].put(index + 1)
            else:
                await finished.put(1)
        return answers

    async def end():
        for _ in range(tasks):
            await finished.get()
        for box in boxes:
            await box.put(0)
        return 0

    for index in range(tasks):
        team.add(ask(index))
    team.add(end())
    total = await team.timed(meter)
    return meter.outcome(tasks * pings, total)


async def philosophers(order):
    tasks, rounds = order["tasks_count"], order["rounds_count"] * order.iterations
    if tasks < 2:
        raise Failure("bad_request", f"tasks_count is {tasks}; a philosopher alone has one fork only")
    meter, team, forks = Meter(), Team(), [asyncio.Lock() for _ in range(tasks)]

    async def eat(index):
        low, high = sorted((index, (index + 1) % tasks))
        meals = 0
        for _ in range(rounds):
            async with forks[low], forks[high]:
                meals += 1
        return meals

    for index in range(tasks):
        team.add(eat(index))
    total = await team.timed(meter)
    return meter.outcome(tasks * rounds, total)


async def messaging(order):
    senders, loops = order["senders_count"], order["loops_count"] * order.iterations
    meter, team = Meter(), Team()

    async def send(receivers):
        for _ in range(loops):
            for receiver in receivers:
                await receiver.put(1)
        return 0

    for _ in range(order["groups_count"]):
        receivers = [channel(order["capacity_count"]) for _ in range(senders)]
        for receiver in receivers:
            team.add(receive(receiver, senders * loops))
        for _ in range(senders):
            team.add(send(receivers))
    total = await team.timed(meter)
    return meter.outcome(order["groups_count"] * senders * senders * loops, total)


async def brigade(order):
    tasks, rounds = order["tasks_count"], order["rounds_count"] * order.iterations
    meter, team = Meter(), Team()
    async with pipes(tasks + 1) as kernel_pipes:
        for start, end in zip(kernel_pipes, kernel_pipes[1:]):
            team.add(pass_on(start, end, rounds))
        await team.assemble()
        team.start()
        value = 0
        with meter:
            for _ in range(rounds):
                await kernel_pipes[0].put(value)
                value = await kernel_pipes[-1].get()
        await team.join()
    return meter.outcome(rounds * (tasks + 1), value)


# io


async def sleepers(order):
    tasks, sleep_ns = order["tasks_count"], order["sleep_ns"]

    async def sleep(index):
        await asyncio.sleep(sleep_ns / 1e9)
        return index + 1

    total, meter = 0, Meter()
    with meter:
        for _ in range(order.iterations):
            total += sum(await asyncio.gather(*(asyncio.create_task(sleep(index)) for index in range(tasks))))
    metrics = {"over_ns": meter.elapsed / order.iterations - sleep_ns}
    return meter.outcome(order.iterations * tasks, total, metrics=metrics)


async def echo(reader, writer, block_bytes):
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while block := await reader.read(block_bytes):
        writer.write(block)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def tcp_echo(order):
    before = used()
    serve = functools.partial(echo, block_bytes=load.block_bytes(order))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=order["connections_count"])
    async with server:
        generator = await asyncio.create_subprocess_exec(
            *load.arguments(order, server.sockets[0].getsockname()),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        printed, errors = await generator.communicate()
    report = load.report(generator.returncode, printed, errors)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    return load.outcome(report, without(difference_since(before), report))


async def fanout(order):
    requests, waits = order["requests_count"], order["waits_count"]
    wait_s, steps = order["wait_ns"] / 1e9, order["steps_count"]

    async def wait():
        await asyncio.sleep(wait_s)
        return 1

    async def request(index):
        waiting = [asyncio.create_task(wait()) for _ in range(waits)]
        return lehmer(index, steps) % 1000 + sum(await asyncio.gather(*waiting))

    total, meter = 0, Meter()
    with meter:
        for _ in range(order.iterations):
            total += sum(await asyncio.gather(*(asyncio.create_task(request(index)) for index in range(requests))))
    return meter.outcome(order.iterations * requests, total)


async def file_read(order):
    tasks, total, meter = order["tasks_count"], 0, Meter()
    with files(tasks, order["file_bytes"]) as paths:
        for _ in range(order.iterations):
            if order["cold"]:
                forget(paths)
            with meter:
                total += sum(await asyncio.gather(*(asyncio.to_thread(add_up, path, order["block_bytes"]) for path in paths)))
    return meter.outcome(order.iterations * tasks, total)


SHAPES = {
    "spawn.one": spawn_one, "spawn.batch": spawn_batch, "spawn.first_instruction": first_instruction,
    "spawn.skynet": skynet,
    "switch.yield": yields, "switch.pingpong": ping_pong, "switch.roundtrip": round_trip,
    "switch.pipe": pipe_ping_pong, "switch.ring": ring,
    "switch.hog": hog, "switch.working_set": working_set, "switch.idle_wake": idle_wake,
    "memory.parked": parked, "memory.deep": deep, "memory.shrink": shrink, "memory.million": parked,
    "share.counter": counter, "share.pipeline": pipeline, "share.sieve": sieve, "share.fan_in": fan_in,
    "share.select": select,
    "share.worker_pool": worker_pool, "share.bounded_buffer": bounded_buffer, "share.chameneos": chameneos,
    "share.big": big, "share.philosophers": philosophers, "share.messaging": messaging, "share.brigade": brigade,
    "io.sleepers": sleepers, "io.tcp_echo": tcp_echo, "io.tcp_latency": tcp_echo, "io.tcp_burst": tcp_echo, "io.fanout": fanout,
    "io.file_read": file_read, "service.http": service_http,
}
