"""The load generator of io.tcp_*, and the mail server of io.email: a program that the study names."""

import json
import os
import subprocess

PROGRAM = os.environ.get("THREADBARE_LOAD")
MISSING = None if PROGRAM else "THREADBARE_LOAD does not name the load generator"
# The workloads that it loads.
LOADED = ("io.tcp_echo", "io.tcp_latency", "io.tcp_burst", "service.http")


def block_bytes(order):
    """How many bytes an echo server reads at a time: one request of a burst, so each is answered separately."""
    return order.parameters.get("block_bytes", order["payload_bytes"])


def arguments(order, address):
    """The generator's command line."""
    plan = {
        "--address": "{}:{}".format(*address), "--connections": order["connections_count"],
        "--payload-bytes": order["payload_bytes"], "--requests": order["requests_count"] * order.iterations,
        "--offered-per-s": order.parameters.get("offered_per_s", 0), "--load-percent": order.parameters.get("load_percent", 0), "--burst": order.parameters.get("burst_count", 1),
    }
    return [PROGRAM, "load", *(str(word) for pair in plan.items() for word in pair)]


def assignments(order):
    """All parameters, as arguments of the suite's own programs."""
    return [f"{name}={value}" for name, value in order.parameters.items()]


def report(status, output, errors):
    """The generator's report."""
    if status != 0:
        raise RuntimeError(f"the load generator ended with {status}: {errors.decode(errors='replace').strip()}")
    return json.loads(output)


def outcome(printed, lane):
    """The generator's report as the lane's sample. The usage is `lane`'s, not the generator's."""
    return {**printed, **lane}


class MailServer:
    """The suite's own SMTP server, in a separate process."""

    def __init__(self, delay_ns):
        self._process = subprocess.Popen(
            [PROGRAM, "smtp", "--delay-ns", str(delay_ns)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        host, port = json.loads(self._process.stdout.readline())["address"].rsplit(":", 1)
        self.address = host, int(port)

    def accepted(self):
        """The server's messages and CPU time. Does not wait for its process, so its usage does not count yet."""
        self._process.stdin.close()
        last = json.loads(self._process.stdout.readline())
        return last["accepted_count"], last["cpu_ns"]

    def end(self):
        with self._process:
            self._process.stdin.close()
