package main

import (
	"os"
	"runtime"
	"strings"
)

type workload struct {
	id         string
	parameters []parameter
	run        func(order) (outcome, error)
	refuses    string // Why this lane does not run it; empty if it does.
}

// parameter is a name and the lowest value that a lane accepts.
type parameter struct {
	name  string
	least int64
}

// order is a checked request.
type order struct {
	parameters map[string]int64
	iterations int64
}

func (o order) get(name string) int64 { return o.parameters[name] }

func (o order) assignments() []string {
	var all []string
	for name, value := range o.parameters {
		all = append(all, name+"="+decimal(value))
	}
	return all
}

// orCPUs is the value of a parameter for which 0 means the lane's CPUs.
func (o order) orCPUs(name string) int64 {
	if n := o.parameters[name]; n > 0 {
		return n
	}
	return int64(runtime.NumCPU())
}

// parameters reads "tasks_count means=0": a parameter is at least 1 unless it says otherwise.
func parameters(list string) []parameter {
	var all []parameter
	for _, word := range strings.Fields(list) {
		name, fromZero := strings.CutSuffix(word, "=0")
		least := int64(1)
		if fromZero {
			least = 0
		}
		all = append(all, parameter{name, least})
	}
	return all
}

const serviceParameters = "connections_count hold_ns try_ns search_ns limit_ns idle_count=0 in_flight_count backend=0 pool_count rounds_count steps_count=0 " +
	"delay_ns=0 spread_ns=0 slow_ns=0 timeout_ns"

const (
	noFork  = "a Go program cannot fork without executing another program: its runtime has threads"
	noFutex = "a futex would block the thread that goroutines share, and Go does not offer it"
	noLoad  = "THREADBARE_LOAD does not name the load generator"
)

var catalogue = []*workload{
	{id: "spawn.one", run: spawnOne},
	{id: "spawn.batch", parameters: parameters("tasks_count"), run: spawnBatch},
	{id: "spawn.first_instruction", run: firstInstruction},
	{id: "spawn.skynet", parameters: parameters("leaves_count"), run: skynet},
	{id: "spawn.fork_rss", parameters: parameters("resident_bytes=0 huge=0 touch_pages_count=0"), refuses: noFork},

	{id: "switch.yield", parameters: parameters("tasks_count yields_count"), run: yield},
	{id: "switch.pingpong", parameters: parameters("rounds_count"), run: pingPong},
	{id: "switch.roundtrip", parameters: parameters("rounds_count capacity_count=0 workers_count=0"), run: roundTrip},
	{id: "switch.futex", parameters: parameters("rounds_count"), refuses: noFutex},
	{id: "switch.pipe", parameters: parameters("rounds_count"), run: pipePingPong},
	{id: "switch.ring", parameters: parameters("tasks_count hops_count"), run: ring},
	{id: "switch.hog", parameters: parameters("hog_ns hogs_count=0 tick_ns"), run: hog},
	{id: "switch.working_set", parameters: parameters("tasks_count hops_count size_bytes=0"), run: workingSet},
	{id: "switch.idle_wake", parameters: parameters("rounds_count idle_ns=0"), run: idleWake},

	{id: "memory.parked", parameters: parameters("tasks_count wait_ns"), run: memoryParked},
	{id: "memory.deep", parameters: parameters("tasks_count levels_count wait_ns"), run: memoryDeep},
	{id: "memory.shrink", parameters: parameters("tasks_count levels_count wait_ns"), run: memoryShrink},
	{id: "memory.million", parameters: parameters("tasks_count wait_ns"), run: memoryParked},

	{id: "share.counter", parameters: parameters("tasks_count additions_count means=0 capacity_count"), run: counter},
	{id: "share.pipeline", parameters: parameters("stages_count items_count capacity_count=0"), run: pipeline},
	{id: "share.sieve", parameters: parameters("limit_count"), run: sieve},
	{id: "share.fan_in", parameters: parameters("producers_count items_count capacity_count"), run: fanIn},
	{id: "share.select", parameters: parameters("items_count"), run: selectTwo},
	{id: "share.worker_pool", parameters: parameters("workers_count=0 jobs_count steps_count=0 capacity_count"), run: workerPool},
	{id: "share.bounded_buffer", parameters: parameters("tasks_count items_count capacity_count"), run: boundedBuffer},
	{id: "share.chameneos", parameters: parameters("creatures_count meetings_count"), run: chameneos},
	{id: "share.big", parameters: parameters("tasks_count pings_count"), run: big},
	{id: "share.philosophers", parameters: parameters("tasks_count rounds_count"), run: philosophers},
	{id: "share.messaging", parameters: parameters("groups_count senders_count loops_count capacity_count"), run: messaging},
	{id: "share.brigade", parameters: parameters("tasks_count rounds_count"), run: brigade},

	{id: "cpu.primes", parameters: parameters("chunks_count workers_count=0 limit_count skewed=0"), run: chunks(primes)},
	{id: "cpu.matmul", parameters: parameters("chunks_count workers_count=0 size_count"), run: chunks(matmul)},
	{id: "cpu.mandelbrot", parameters: parameters("chunks_count workers_count=0 size_count limit_count"), run: chunks(mandelbrot)},
	{id: "cpu.nqueens", parameters: parameters("chunks_count workers_count=0 size_count"), run: chunks(nqueens)},
	{id: "cpu.fib", parameters: parameters("chunks_count workers_count=0 depth_count"), run: chunks(fibonacci)},
	{id: "cpu.sort", parameters: parameters("chunks_count workers_count=0 items_count"), run: chunks(sorting)},
	{id: "cpu.hash", parameters: parameters("chunks_count workers_count=0 block_bytes rounds_count"), run: chunks(hashing)},
	{id: "cpu.json", parameters: parameters("chunks_count workers_count=0 records_count"), run: chunks(documents)},
	{id: "cpu.json_weak", parameters: parameters("chunks_count workers_count records_count"), run: weakChunks(documents)},

	{id: "io.sleepers", parameters: parameters("tasks_count sleep_ns"), run: sleepers},
	{id: "io.tcp_echo", parameters: parameters("connections_count payload_bytes requests_count block_bytes offered_per_s=0"), run: tcpEcho, refuses: needsLoad()},
	{id: "io.tcp_latency", parameters: parameters("connections_count payload_bytes requests_count block_bytes load_percent"), run: tcpEcho, refuses: needsLoad()},
	{id: "io.tcp_burst", parameters: parameters("connections_count payload_bytes requests_count burst_count"), run: tcpEcho, refuses: needsLoad()},
	{id: "io.fanout", parameters: parameters("requests_count waits_count wait_ns=0 steps_count=0"), run: fanout},
	{id: "io.email", parameters: parameters("tasks_count delay_ns=0"), run: email, refuses: needsLoad()},
	{id: "io.file_read", parameters: parameters("tasks_count file_bytes=0 block_bytes cold=0"), run: fileRead},

	{id: "service.http", parameters: parameters(serviceParameters), run: serviceHTTP, refuses: noService()},
}

func needsLoad() string {
	if os.Getenv(loadVariable) == "" {
		return noLoad
	}
	return ""
}

func find(id string) (*workload, bool) {
	for _, work := range catalogue {
		if work.id == id {
			return work, true
		}
	}
	return nil, false
}

func ids() string {
	var all []string
	for _, work := range catalogue {
		all = append(all, work.id)
	}
	return strings.Join(all, ", ")
}

func (w *workload) check(given map[string]int64) *failure {
	for _, p := range w.parameters {
		value, there := given[p.name]
		if !there {
			return badRequest("%s needs the parameter %s", w.id, p.name)
		}
		if value < p.least || value >= 1<<53 {
			return badRequest("%s of %s is %d; it must lie in %d to 2^53 - 1", p.name, w.id, value, p.least)
		}
	}
	return nil
}
