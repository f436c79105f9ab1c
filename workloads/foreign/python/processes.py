"""The lane python-process: a task is a forked process of `multiprocessing`."""

import mmap
import multiprocessing
import os
import sys
from contextlib import contextmanager
from multiprocessing.sharedctypes import RawArray, RawValue

from blocking import Blocking
from measure import Meter, median, now
from protocol import Failure

PAGE_BYTES = 4096
MADV_NOHUGEPAGE = 15  # Linux's value; not all versions of the module mmap name it
MOST_TASKS = 1_000
_fork = multiprocessing.get_context("fork")
# A child of a child continues inside the calls of both parents.
sys.setrecursionlimit(100_000)
_chunk = None


def _run_chunk(index):
    return _chunk(index)


class Task:
    """A process that hands over a whole number in shared memory."""

    def __init__(self, function, arguments):
        self._slot = RawValue("q", 0)
        self._process = _fork.Process(target=self._run, args=(function, arguments))
        self._process.start()

    def _run(self, function, arguments):
        self._slot.value = function(*arguments)

    def result(self):
        self._process.join()
        status = self._process.exitcode
        self._process.close()
        if status != 0:
            raise RuntimeError(f"a process ended with {status}; what it said is on stderr")
        return self._slot.value


class Processes(Blocking):
    processes = True
    gate = staticmethod(_fork.Event)
    lock = staticmethod(_fork.Lock)

    def spawn(self, function, *arguments):
        return Task(function, arguments)

    def channel(self, capacity):
        channel = _fork.Queue(max(capacity, 1))
        self.channels.append(channel)
        return channel

    def arrivals(self):
        return _fork.Semaphore(0)

    def number(self):
        return RawValue("q", 0)

    @contextmanager
    def pool(self, workers, chunk):
        """A function that runs `chunk` on numbers, at most `workers` at once."""
        global _chunk
        _chunk = chunk  # The forked process inherits it, so it need not be pickled.
        with _fork.Pool(workers) as pool:
            yield lambda numbers: pool.map(_run_chunk, numbers, chunksize=1)
            pool.close()
            pool.join()

    def refuses(self, workload):
        if workload == "share.big":
            return "a multiprocessing queue feeds by a thread in each process that writes to it: here one for each pair of tasks"
        return super().refuses(workload)

    def run(self, order):
        for name in "tasks_count", "leaves_count":
            count = order.parameters.get(name, 0)
            if count > MOST_TASKS:
                why = "multiprocessing looks at all of its children whenever it starts one"
                raise Failure("not_supported", f"{count} processes at a time: {why}, so this lane starts {MOST_TASKS} at most")
        self.channels = []
        try:
            if order.workload == "spawn.fork_rss":
                return fork_rss(order)
            return super().run(order)
        finally:
            # Ends the queues' threads before the next fork.
            for channel in self.channels:
                channel.close()
                channel.join_thread()


def fork_rss(order):
    """The time of a fork depending on the parent's memory, by `os.fork`."""
    pages = order["resident_bytes"] // PAGE_BYTES
    touched = min(order["touch_pages_count"], pages)
    resident = mmap.mmap(-1, max(pages, 1) * PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    resident.madvise(mmap.MADV_HUGEPAGE if order["huge"] else MADV_NOHUGEPAGE)
    for page in range(pages):
        resident[page * PAGE_BYTES] = 1
    noted = RawArray("q", 2)
    parts = {"fork_return_ns": [], "first_instruction_ns": [], "copy_on_write_ns": [], "exit_wait_ns": []}
    done, meter = 0, Meter(processes=True)
    with meter:
        for _ in range(order.iterations):
            called = now()
            pid = os.fork()
            if pid == 0:
                noted[0] = now()
                for page in range(touched):
                    resident[page * PAGE_BYTES] = 2
                noted[1] = now()
                os._exit(0)
            returned = now()
            _, status = os.waitpid(pid, 0)
            ended = now()
            done += status == 0
            first, last = noted
            for name, ns in zip(parts, (returned - called, first - called, last - first, ended - last)):
                parts[name].append(ns)
    resident.close()
    metrics = {name: median(values) for name, values in parts.items()}
    return meter.outcome(order.iterations, done, metrics=metrics)


lane = Processes()
