"""Every workload with its parameters and the lowest value of each that makes sense."""


def _parameters(names):
    """Reads "tasks_count means=0": a parameter is at least 1 unless it says otherwise."""
    return {name.removesuffix("=0"): 0 if name.endswith("=0") else 1 for name in names.split()}


PARAMETERS = {
    workload: _parameters(names)
    for workload, names in {
        "spawn.one": "",
        "spawn.batch": "tasks_count",
        "spawn.first_instruction": "",
        "spawn.skynet": "leaves_count",
        "spawn.fork_rss": "resident_bytes=0 huge=0 touch_pages_count=0",
        "switch.yield": "tasks_count yields_count",
        "switch.pingpong": "rounds_count",
        "switch.roundtrip": "rounds_count capacity_count=0 workers_count=0",
        "switch.futex": "rounds_count",
        "switch.pipe": "rounds_count",
        "switch.ring": "tasks_count hops_count",
        "switch.hog": "hog_ns hogs_count=0 tick_ns",
        "switch.working_set": "tasks_count hops_count size_bytes=0",
        "switch.idle_wake": "rounds_count idle_ns=0",
        "memory.parked": "tasks_count wait_ns",
        "memory.deep": "tasks_count levels_count wait_ns",
        "memory.shrink": "tasks_count levels_count wait_ns",
        "memory.million": "tasks_count wait_ns",
        "share.counter": "tasks_count additions_count means=0 capacity_count",
        "share.pipeline": "stages_count items_count capacity_count=0",
        "share.sieve": "limit_count",
        "share.fan_in": "producers_count items_count capacity_count",
        "share.select": "items_count",
        "share.worker_pool": "workers_count=0 jobs_count steps_count=0 capacity_count",
        "share.bounded_buffer": "tasks_count items_count capacity_count",
        "share.chameneos": "creatures_count meetings_count",
        "share.big": "tasks_count pings_count",
        "share.philosophers": "tasks_count rounds_count",
        "share.messaging": "groups_count senders_count loops_count capacity_count",
        "share.brigade": "tasks_count rounds_count",
        "cpu.primes": "chunks_count workers_count=0 limit_count skewed=0",
        "cpu.matmul": "chunks_count workers_count=0 size_count",
        "cpu.mandelbrot": "chunks_count workers_count=0 size_count limit_count",
        "cpu.nqueens": "chunks_count workers_count=0 size_count",
        "cpu.fib": "chunks_count workers_count=0 depth_count",
        "cpu.sort": "chunks_count workers_count=0 items_count",
        "cpu.hash": "chunks_count workers_count=0 block_bytes rounds_count",
        "cpu.json": "chunks_count workers_count=0 records_count",
        "cpu.json_weak": "chunks_count workers_count records_count",
        "io.sleepers": "tasks_count sleep_ns",
        "io.tcp_echo": "connections_count payload_bytes requests_count block_bytes offered_per_s=0",
        "io.tcp_latency": "connections_count payload_bytes requests_count block_bytes load_percent",
        "io.tcp_burst": "connections_count payload_bytes requests_count burst_count",
        "io.fanout": "requests_count waits_count wait_ns=0 steps_count=0",
        "io.email": "tasks_count delay_ns=0",
        "io.file_read": "tasks_count file_bytes=0 block_bytes cold=0",
        "service.http": "connections_count hold_ns try_ns search_ns limit_ns idle_count=0 in_flight_count backend=0 pool_count rounds_count steps_count=0 delay_ns=0 spread_ns=0 slow_ns=0 timeout_ns",
    }.items()
}

# The suffix of workloads whose work grows with the workers.
WEAK = "_weak"
# Each has a kernel of the same name in the folder `kernels`.
CHUNKED = {
    workload: workload.removeprefix("cpu.").removesuffix(WEAK) for workload in PARAMETERS if workload.startswith("cpu.")
}
