package main

import (
	"syscall"
	"time"
)

type outcome struct {
	elapsed    int64
	operations int64
	checksum   int64
	used       usage
	latency    *latency
	metrics    map[string]float64
}

func (o *outcome) perSecond(count int64) float64 {
	return float64(count) / (float64(max(o.elapsed, 1)) / 1e9)
}

// epoch makes the clock's values small; time.Since reads the monotonic clock.
var epoch = time.Now()

// now is the monotonic clock in nanoseconds.
func now() int64 { return int64(time.Since(epoch)) }

// usage is the CPU time and the context switches of the lane and of the children that it has waited for.
type usage struct{ cpu, voluntary, involuntary int64 }

func used() usage {
	var total usage
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var part syscall.Rusage
		if err := syscall.Getrusage(who, &part); err != nil {
			panic(err) // Only possible for an invalid who or address.
		}
		total.cpu += part.Utime.Nano() + part.Stime.Nano()
		total.voluntary += int64(part.Nvcsw)
		total.involuntary += int64(part.Nivcsw)
	}
	return total
}

func (u usage) minus(other usage) usage {
	return usage{max(u.cpu-other.cpu, 0), max(u.voluntary-other.voluntary, 0), max(u.involuntary-other.involuntary, 0)}
}

func (u usage) plus(other usage) usage {
	return usage{u.cpu + other.cpu, u.voluntary + other.voluntary, u.involuntary + other.involuntary}
}

// timed runs section, which does the given number of operations and returns the checksum.
func timed(operations int64, section func() int64) outcome {
	out := outcome{operations: operations}
	out.addTimed(func() { out.checksum = section() })
	return out
}

func (o *outcome) addTimed(section func()) {
	before, start := used(), now()
	section()
	o.elapsed += now() - start
	o.used = o.used.plus(used().minus(before))
}
