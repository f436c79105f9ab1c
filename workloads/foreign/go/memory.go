package main

import (
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

func memoryParked(o order) (outcome, error) {
	return hold(o, func(index int64, wait func()) int64 {
		wait()
		return index + 1
	})
}

func memoryDeep(o order) (outcome, error) {
	levels := o.get("levels_count")
	return hold(o, func(_ int64, wait func()) int64 { return descend(levels, wait) })
}

func memoryShrink(o order) (outcome, error) {
	levels := o.get("levels_count")
	return hold(o, func(_ int64, wait func()) int64 {
		depth := descend(levels, func() {})
		wait()
		return depth
	})
}

// hold requests a reading of the ledger without waiting goroutines, then one with them. body calls wait once.
func hold(o order, body func(index int64, wait func()) int64) (outcome, error) {
	tasks := o.get("tasks_count")
	first := startWaiting(1, body)
	first.end() // Costs that only the first goroutine has are not counted.
	// The first reading is of a process without garbage and free spans.
	// The lane calls the collector only here, so the second reading shows what Go frees by itself.
	debug.FreeOSMemory()
	if err := readMemory(); err != nil {
		return outcome{}, err
	}
	var held *waiting
	out := outcome{operations: tasks}
	out.addTimed(func() { held = startWaiting(tasks, body) })
	time.Sleep(time.Duration(o.get("wait_ns")))
	err := readMemory()
	out.checksum = held.end()
	return out, err
}

// waiting is a set of goroutines that block on a gate.
type waiting struct {
	gate    chan struct{}
	arrived atomic.Int64
	wait    sync.WaitGroup
	handed  atomic.Int64
}

// startWaiting starts count goroutines and returns when all of them wait.
func startWaiting(count int64, body func(index int64, wait func()) int64) *waiting {
	w := &waiting{gate: make(chan struct{})}
	w.wait.Add(int(count))
	for i := range count {
		go func() {
			defer w.wait.Done()
			w.handed.Add(body(i, w.block))
		}()
	}
	waitUntil(func() bool { return w.arrived.Load() == count })
	return w
}

func (w *waiting) block() {
	w.arrived.Add(1)
	<-w.gate
}

// end opens the gate and returns the sum of the values that they hand over.
func (w *waiting) end() int64 {
	close(w.gate)
	w.wait.Wait()
	return w.handed.Load()
}
