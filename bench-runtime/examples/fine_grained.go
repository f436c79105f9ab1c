// The programs of fine_grained.rs in Go, with GOMAXPROCS of one and of two.
//
// `go run bench-runtime/examples/fine_grained.go [WHICH]..` prints the median of five runs, in
// milliseconds. It needs Go 1.25. Where Go's standard library has no such type (a semaphore, an
// error group), the programs use what Go programs use in its place: a buffered channel, and a
// WaitGroup with a cause of the context's end.
package main

import (
	"container/heap"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

const runs = 5

type program struct {
	name string
	run  func()
}

var programs = []program{
	{"locks", locks},
	{"permits", permits},
	{"balancer", balancer},
	{"crawl", crawl},
	{"pipeline", pipeline},
	{"pool", pool},
	{"broadcast", broadcast},
}

func main() {
	which := os.Args[1:]
	for _, name := range which {
		isKnown := func(one program) bool { return one.name == name }
		if !slices.ContainsFunc(programs, isKnown) {
			fmt.Fprintf(os.Stderr, "no program %s; see the top of the source\n", name)
			os.Exit(2)
		}
	}
	fmt.Println("program       one P   two Ps   ratio")
	for _, each := range programs {
		if len(which) > 0 && !slices.Contains(which, each.name) {
			continue
		}
		one, two := median(1, each.run), median(2, each.run)
		fmt.Printf("%-12s%8.1f %8.1f %7.2f\n", each.name, one, two, two/one)
	}
}

func median(procs int, run func()) float64 {
	runtime.GOMAXPROCS(procs)
	var times []float64
	for range runs {
		began := time.Now()
		run()
		times = append(times, time.Since(began).Seconds()*1e3)
	}
	slices.Sort(times)
	return times[runs/2]
}

func assert(holds bool, what string) {
	if !holds {
		panic(what)
	}
}

// Many short goroutines that take one mutex eight times each.
func locks() {
	const tasks = 100_000
	var lock sync.Mutex
	var group sync.WaitGroup
	total := 0
	for range tasks {
		group.Go(func() {
			for range 8 {
				lock.Lock()
				total++
				lock.Unlock()
			}
		})
	}
	group.Wait()
	assert(total == 8*tasks, "every addition is there")
}

// The same with a semaphore of four permits.
func permits() {
	permits := make(chan struct{}, 4)
	var group sync.WaitGroup
	for range 50_000 {
		group.Go(func() {
			for range 4 {
				permits <- struct{}{}
				<-permits
			}
		})
	}
	group.Wait()
}

type request struct {
	number uint64
	answer chan<- uint64
}

// R. Pike's load balancer, with a heap of workers by their pending requests.
func balancer() {
	const (
		workers    = 10
		requesters = 100
		requests   = 2_000
	)
	incoming, completed := make(chan request), make(chan *worker)
	var all workerHeap
	for id := range workers {
		w := &worker{id: id, index: id, requests: make(chan request, 256)}
		go w.work(completed)
		all = append(all, w)
	}
	go all.balance(incoming, completed)
	var group sync.WaitGroup
	for range requesters {
		group.Go(func() {
			answers := make(chan uint64, 1)
			for number := range uint64(requests) {
				incoming <- request{number, answers}
				assert(<-answers == number*number, "the answer is the square")
			}
		})
	}
	group.Wait()
	close(incoming)
}

type worker struct {
	id, pending, index int
	requests           chan request
}

func (w *worker) work(completed chan<- *worker) {
	for request := range w.requests {
		request.answer <- request.number * request.number
		completed <- w
	}
}

type workerHeap []*worker

func (h workerHeap) Len() int { return len(h) }
func (h workerHeap) Less(i, j int) bool {
	if h[i].pending != h[j].pending {
		return h[i].pending < h[j].pending
	}
	return h[i].id < h[j].id
}
func (h workerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *workerHeap) Push(w any) { *h = append(*h, w.(*worker)) }
func (h *workerHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (h workerHeap) balance(incoming <-chan request, completed <-chan *worker) {
	pending := 0
	for incoming != nil || pending > 0 {
		select {
		case request, ok := <-incoming:
			if !ok {
				// The last completions may come after the last answer.
				incoming = nil
				continue
			}
			least := h[0]
			least.requests <- request
			least.pending++
			pending++
			heap.Fix(&h, 0)
		case w := <-completed:
			w.pending--
			pending--
			heap.Fix(&h, w.index)
		}
	}
	for _, w := range h {
		close(w.requests)
	}
}

// Fetches pages in memory once each, 64 at a time, in an error group with a context.
func crawl() {
	const pages = 50_000
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	c := &crawling{seen: map[uint64]bool{0: true}, slots: make(chan struct{}, 64), pages: pages, ctx: ctx, cancel: cancel}
	c.visit(0)
	c.group.Wait()
	assert(ctx.Err() == nil && len(c.seen) == pages, "every page was fetched")
}

type crawling struct {
	lock   sync.Mutex
	seen   map[uint64]bool
	slots  chan struct{}
	pages  uint64
	group  sync.WaitGroup
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (c *crawling) visit(page uint64) {
	c.group.Go(func() {
		select {
		case c.slots <- struct{}{}:
		case <-c.ctx.Done():
			c.cancel(c.ctx.Err())
			return
		}
		var links [4]uint64
		for n := range links {
			links[n] = (page*4 + uint64(n) + 1) % c.pages
		}
		<-c.slots
		for _, link := range links {
			c.lock.Lock()
			isNew := !c.seen[link]
			if isNew {
				c.seen[link] = true
			}
			c.lock.Unlock()
			if isNew {
				c.visit(link)
			}
		}
	})
}

// Five stages, with a channel of capacity 64 between each two.
func pipeline() {
	const items = 300_000
	first := make(chan uint64, 64)
	go func() {
		for n := range uint64(items) {
			first <- n
		}
		close(first)
	}()
	last := first
	for range 4 {
		in, out := last, make(chan uint64, 64)
		go func() {
			for n := range in {
				out <- n + 1
			}
			close(out)
		}()
		last = out
	}
	sum := uint64(0)
	for n := range last {
		sum += n
	}
	assert(sum == items*(items-1)/2+4*items, "every item arrived")
}

// Eight workers, with unbuffered channels of jobs and of results.
func pool() {
	const jobs = 300_000
	queue, results := make(chan uint64), make(chan uint64)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for n := range queue {
				results <- n ^ 1
			}
		})
	}
	go func() {
		for n := range uint64(jobs) {
			queue <- n
		}
		close(queue)
		workers.Wait()
		close(results)
	}()
	count := 0
	for range results {
		count++
	}
	assert(count == jobs, "every job has a result")
}

// Four publishers and a hundred subscribers, whose list is behind a read-write mutex.
func broadcast() {
	const count, messages = 100, 1_000
	var lock sync.RWMutex
	var readers, publishers sync.WaitGroup
	var subscribers []chan int
	for range count {
		messagesOfOne := make(chan int, 16)
		lock.Lock()
		subscribers = append(subscribers, messagesOfOne)
		lock.Unlock()
		readers.Go(func() {
			received := 0
			for range messagesOfOne {
				received++
			}
			assert(received == 4*messages, "every message arrived")
		})
	}
	for range 4 {
		publishers.Go(func() {
			for n := range messages {
				lock.RLock()
				for _, one := range subscribers {
					one <- n
				}
				lock.RUnlock()
			}
		})
	}
	publishers.Wait()
	for _, one := range subscribers {
		close(one)
	}
	readers.Wait()
}
