package main

import "runtime"

// kernel prepares data that all chunks share and returns the function that computes one chunk.
type kernel func(o order) func(index int64) int64

// chunks runs a kernel with a goroutine for each chunk, on as many threads as workers are allowed.
func chunks(prepare kernel) func(order) (outcome, error) {
	return func(o order) (outcome, error) { return chunksOf(o, prepare(o), 1), nil }
}

// weakChunks is chunks with all chunks once per worker, so the work grows with the workers.
func weakChunks(prepare kernel) func(order) (outcome, error) {
	return func(o order) (outcome, error) {
		count, chunk := o.get("chunks_count"), prepare(o)
		return chunksOf(o, func(index int64) int64 { return chunk(index % count) }, o.get("workers_count")), nil
	}
}

func chunksOf(o order, chunk func(index int64) int64, copies int64) outcome {
	before := runtime.GOMAXPROCS(int(o.orCPUs("workers_count")))
	defer runtime.GOMAXPROCS(before)
	return timed(o.iterations, func() int64 {
		var total int64
		for range o.iterations {
			total += startAll(copies*o.get("chunks_count"), chunk)()
		}
		return total
	})
}

func edge(whole, parts, index int64) int64 { return whole * index / parts }
