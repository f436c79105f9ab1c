// Go's row: parks COUNT goroutines on a channel, answers with the ledger as
// ledger.rs does, wakes all and checks their sum.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type ledger struct{ resident, tables, slab, available, peak int64 }

func field(file, name string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, name) {
			n, err := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
			if err != nil {
				panic(err)
			}
			return n * 1024
		}
	}
	panic("no " + name)
}

func glance() ledger {
	os.ReadFile("/proc/sys/vm/stat_refresh")
	return ledger{
		field("/proc/self/status", "VmRSS:"), field("/proc/self/status", "VmPTE:"),
		field("/proc/meminfo", "Slab:"), field("/proc/meminfo", "MemAvailable:"),
		field("/proc/self/status", "VmHWM:"),
	}
}

// Reads when the machine has settled.
func read() ledger {
	start := time.Now()
	last := glance()
	for same := 1; same < 3 && time.Since(start) < time.Second; {
		time.Sleep(50 * time.Millisecond)
		next := glance()
		moved := next.available - last.available
		if -256<<10 <= moved && moved <= 256<<10 {
			same++
		} else {
			same = 1
		}
		last = next
	}
	return last
}

func main() {
	count, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	channel := make(chan int)
	var started, ended sync.WaitGroup
	var sum atomic.Int64
	before := read()
	begin := time.Now()
	started.Add(count)
	ended.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			started.Done()
			sum.Add(int64(<-channel))
			ended.Done()
		}()
	}
	made := time.Since(begin)
	begin = time.Now()
	started.Wait()
	after := read()
	reached := time.Since(begin)
	begin = time.Now()
	for i := 0; i < count; i++ {
		channel <- i
	}
	ended.Wait()
	woken := time.Since(begin)
	if sum.Load() != int64(count)*int64(count-1)/2 {
		panic("the sum is wrong")
	}
	fmt.Printf("resident=%d tables=%d slab=%d machine=%d peak=%d made=%d reached=%d woken=%d\n",
		after.resident-before.resident, after.tables-before.tables, after.slab-before.slab,
		before.available-after.available, after.peak+after.tables, made, reached, woken)
}
