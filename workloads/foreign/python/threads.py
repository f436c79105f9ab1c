"""The lane python-thread: a task is a thread of `threading`."""

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

from blocking import Blocking


class Task(threading.Thread):
    """A thread that hands over a value or its exception."""

    def __init__(self, function, arguments):
        # A daemon: a thread that a failed sample leaves does not keep the lane alive.
        super().__init__(daemon=True)
        self._work = function, arguments
        self._result = None
        self._error = None
        self.start()

    def run(self):
        function, arguments = self._work
        try:
            self._result = function(*arguments)
        except Exception as error:
            self._error = error

    def result(self):
        self.join()
        if self._error:
            raise self._error
        return self._result


class Threads(Blocking):
    processes = False
    gate = threading.Event
    lock = threading.Lock

    def spawn(self, function, *arguments):
        return Task(function, arguments)

    def channel(self, capacity):
        return queue.Queue(max(capacity, 1))

    def arrivals(self):
        return threading.Semaphore(0)

    def number(self):
        return SimpleNamespace(value=0)

    def refuses(self, workload):
        if workload == "spawn.fork_rss":
            return "only for processes"
        return super().refuses(workload)

    @contextmanager
    def pool(self, workers, chunk):
        """A function that runs `chunk` on numbers, at most `workers` at once."""
        with ThreadPoolExecutor(workers) as pool:
            yield lambda numbers: pool.map(chunk, numbers)


lane = Threads()
