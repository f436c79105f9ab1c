package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// team is a set of tasks that block on a gate until all of them have started.
type team struct {
	gate    chan struct{}
	arrived atomic.Int64
	count   int64
	wait    sync.WaitGroup
	handed  atomic.Int64
}

func newTeam() *team { return &team{gate: make(chan struct{})} }

// add starts a task, whose value is added to the sum.
func (t *team) add(body func() int64) {
	t.count++
	t.wait.Add(1)
	go func() {
		defer t.wait.Done()
		t.arrived.Add(1)
		<-t.gate
		t.handed.Add(body())
	}()
}

// assemble returns when all tasks are at the gate.
func (t *team) assemble() { waitUntil(func() bool { return t.arrived.Load() == t.count }) }

func (t *team) start() { close(t.gate) }

// join waits for all tasks and returns the sum of their values.
func (t *team) join() int64 {
	t.wait.Wait()
	return t.handed.Load()
}

// waitUntil waits for a condition: first by yielding, because it usually holds at once, then by sleeping.
func waitUntil(done func() bool) {
	for range 100 {
		if done() {
			return
		}
		runtime.Gosched()
	}
	for !done() {
		time.Sleep(100 * time.Microsecond)
	}
}

// startAll starts count tasks. The function that it returns waits for all and adds up their values.
func startAll(count int64, task func(index int64) int64) (join func() int64) {
	results := make([]int64, count)
	var wait sync.WaitGroup
	wait.Add(int(count))
	for i := range count {
		go func() {
			defer wait.Done()
			results[i] = task(i)
		}()
	}
	return func() int64 {
		wait.Wait()
		return sum(results)
	}
}

func sum(numbers []int64) int64 {
	var total int64
	for _, n := range numbers {
		total += n
	}
	return total
}
