"""The load generator of io.tcp_echo: a program that the study names."""

import json
import os

PROGRAM = os.environ.get("THREADBARE_LOAD")
MISSING = None if PROGRAM else "THREADBARE_LOAD does not name the load generator"


def arguments(order, address):
    """The generator's command line."""
    plan = {
        "--address": "{}:{}".format(*address), "--connections": order["connections_count"],
        "--payload-bytes": order["payload_bytes"], "--requests": order["requests_count"] * order.iterations,
        "--offered-per-s": order["offered_per_s"],
    }
    return [PROGRAM, "load", *(str(word) for pair in plan.items() for word in pair)]


def report(status, output, errors):
    """What the generator printed."""
    if status != 0:
        raise RuntimeError(f"the load generator ended with {status}: {errors.decode(errors='replace').strip()}")
    return json.loads(output)


def outcome(printed, lane):
    """The generator's report as the lane's sample; `lane` replaces what it used itself."""
    return {**printed, **lane}
