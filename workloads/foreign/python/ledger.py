"""Memory as a ledger that closes: what the host has lost, and where it went."""

import os
import time

SETTLE_STEP_S = 0.05
SETTLE_LIMIT_S = 1
SETTLE_BYTES = 256 << 10


def read(with_children=False):
    """Waits until the host has settled and reads."""
    host = _settle()
    resident = _resident("self")
    if with_children:
        resident += sum(_resident(pid) for pid in _descendants(os.getpid()))
    return {
        "available_bytes": -host["MemAvailable"],
        "anonymous_bytes": resident,
        "kernel_stack_bytes": host["KernelStack"],
        "slab_bytes": host["Slab"],
        "page_tables_bytes": host["PageTables"] + host.get("SecPageTables", 0),
        "percpu_bytes": host.get("Percpu", 0),
        "virtual_bytes": _fields("/proc/self/status")["VmSize"],
    }


def change(before, after, tasks):
    """The change between two readings, as the protocol carries it."""
    return {"tasks_count": tasks, **{name: after[name] - before[name] for name in before}}


def _resident(process):
    rollup = _fields(f"/proc/{process}/smaps_rollup")
    return rollup["Pss_Anon"] + rollup["Pss_Shmem"]


def _descendants(pid):
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as children:
            for child in children.read().split():
                yield int(child)
                yield from _descendants(int(child))


def _settle():
    start, same, last = time.monotonic(), 1, _meminfo()
    while same < 3 and time.monotonic() - start < SETTLE_LIMIT_S:
        time.sleep(SETTLE_STEP_S)
        following = _meminfo()
        same = same + 1 if abs(following["MemAvailable"] - last["MemAvailable"]) <= SETTLE_BYTES else 1
        last = following
    return last


def _meminfo():
    try:
        # Makes the kernel add up its per-CPU counters now. Only root may;
        # others read figures that are a second older.
        with open("/proc/sys/vm/stat_refresh") as refresh:
            refresh.read()
    except OSError:
        pass
    return _fields("/proc/meminfo")


def _fields(path):
    """The lines "Name:   12 kB" of a file, in bytes."""
    fields = {}
    with open(path) as lines:
        for line in lines:
            name, _, rest = line.partition(":")
            if rest.rstrip().endswith(" kB"):
                fields[name] = int(rest.split()[0]) << 10
    return fields
