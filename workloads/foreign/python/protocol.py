"""The lane's side of the protocol: one request, one answer."""

import errno
import json
import os
import platform
import resource
import sys
from collections import namedtuple

from catalogue import PARAMETERS

VERSION = 1
LONGEST_LINE = 1 << 20
MOST_ITERATIONS = 10**9
LIMITS = {
    errno.EAGAIN: "ulimit -u, pids.max or threads-max",
    errno.ENOMEM: "the memory of the host or cgroup",
    errno.EMFILE: "ulimit -n",
    errno.ENFILE: "file-max",
    errno.ENOSPC: "the space in TMPDIR or the semaphores in /dev/shm",
    errno.EADDRNOTAVAIL: "ip_local_port_range",
}


class Failure(Exception):
    """The reason why there is no sample."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class Order(namedtuple("Order", "workload parameters iterations cpus")):
    """A checked request."""

    def __getitem__(self, name):
        return self.parameters[name]

    def or_cpus(self, name):
        """The value of a parameter for which 0 means the lane's CPUs."""
        return self.parameters[name] or self.cpus


def serve(name, lane, lines, output):
    """Answers requests until the request to quit or the end of the input."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cpus = len(os.sched_getaffinity(0))
    refusals = {workload: lane.refuses(workload) for workload in PARAMETERS}

    def say(message):
        output.write(json.dumps(message).encode() + b"\n")
        output.flush()

    version = platform.python_version()
    say({
        "type": "hello", "protocol": VERSION, "lane": name, "language": f"python {version}",
        "runtime": f"{platform.python_implementation()} {version}", "pid": os.getpid(), "cpus_count": cpus,
        "workloads": refusals,
    })
    while line := lines.readline(LONGEST_LINE + 1):
        request = {}
        try:
            if len(line) > LONGEST_LINE:
                while not line.endswith(b"\n") and (line := lines.readline(LONGEST_LINE)):
                    pass
                raise Failure("bad_request", f"the line is longer than {LONGEST_LINE} bytes")
            request = parse(line)
            if request["type"] == "quit":
                return
            answer = sample(lane.run(check(request, refusals, cpus)))
        except Exception as error:
            answer = refusal(error)
        say({**answer, "id": request_id(request)})


def read_memory():
    """Requests a reading of the memory ledger from the study, in the middle of a sample."""
    sys.stdout.buffer.write(b'{"type": "read_memory"}\n')
    sys.stdout.buffer.flush()
    if parse(sys.stdin.buffer.readline(LONGEST_LINE))["type"] != "memory_read":
        raise Failure("bad_request", "the study took no reading of memory")


def request_id(request):
    known = request.get("id")
    return known if type(known) is int and 0 <= known < 2**53 else 0


def parse(line):
    try:
        request = json.loads(line)
    except ValueError as error:
        raise Failure("bad_request", f"this is no request of the protocol: {error}") from error
    if not isinstance(request, dict):
        raise Failure("bad_request", "this is no request of the protocol: no object")
    request.setdefault("type", None)
    return request


def check(request, refusals, cpus):
    """The order that a request holds, or what is wrong with it."""

    def bad(message):
        return Failure("bad_request", message)

    if request["type"] != "run":
        raise bad(f"this is no request of the protocol: the type is {request['type']!r}, not run or quit")
    workload, given, iterations = (request.get(name) for name in ("workload", "parameters", "iterations"))
    if not isinstance(workload, str) or not isinstance(given, dict):
        raise bad("this is no request of the protocol: it needs workload, a text, and parameters, an object")
    if workload not in PARAMETERS:
        raise bad(f"unknown workload {workload}; this lane knows {', '.join(PARAMETERS)}")
    for name, least in PARAMETERS[workload].items():
        value = given.get(name)
        if type(value) is not int:
            raise bad(f"{workload} needs the parameter {name}, a whole number")
        if not least <= value < 2**53:
            raise bad(f"{name} of {workload} is {value}; it must lie in {least} to 2^53 - 1")
    if type(iterations) is not int or not 1 <= iterations <= MOST_ITERATIONS:
        raise bad(f"iterations is {iterations}; it must be 1 to {MOST_ITERATIONS}")
    if workload.startswith(("memory.", "service.")) and iterations != 1:
        raise bad(f"{workload} is one experiment: iterations must be 1")
    if refusals[workload]:
        raise Failure("not_supported", refusals[workload])
    return Order(workload, given, iterations, cpus)




def sample(outcome):
    return {"type": "sample", **{name: value for name, value in outcome.items() if value is not None}}


def refusal(error):
    if isinstance(error, Failure):
        kind, message = error.kind, str(error)
    elif isinstance(error, OSError) and error.errno in LIMITS:
        kind, message = "limit", f"{error} ({errno.errorcode[error.errno]}); look at {LIMITS[error.errno]}"
    elif isinstance(error, RuntimeError) and "start new thread" in str(error):
        kind, message = "limit", f"{error} (EAGAIN); look at {LIMITS[errno.EAGAIN]}"
    elif isinstance(error, MemoryError):
        kind, message = "limit", f"out of memory (ENOMEM); look at {LIMITS[errno.ENOMEM]}"
    else:
        kind, message = "failed", f"{type(error).__name__}: {error}"
    return {"type": "error", "kind": kind, "message": message}
