package main

import "runtime"

// kernel prepares what all chunks share and returns the function that computes one.
type kernel func(o order) func(index int64) int64

// chunks runs a kernel on goroutines, one for each chunk, over as many threads as there may be workers.
func chunks(prepare kernel) func(order) (outcome, error) {
	return func(o order) (outcome, error) {
		count := o.get("chunks_count")
		chunk := prepare(o)
		before := runtime.GOMAXPROCS(int(o.orCPUs("workers_count")))
		defer runtime.GOMAXPROCS(before)
		return timed(o.iterations, func() int64 {
			var total int64
			for range o.iterations {
				total += startAll(count, chunk)()
			}
			return total
		}), nil
	}
}

// edge is the lower edge of part index when whole is cut into parts.
func edge(whole, parts, index int64) int64 { return whole * index / parts }
