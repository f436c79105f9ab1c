// Go's row of memory.rs: parks COUNT goroutines on a channel and prints the
// ledger before and after, in bytes: resident, page tables, slab, available.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

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

func ledger() {
	fmt.Println(field("/proc/self/status", "VmRSS:"), field("/proc/self/status", "VmPTE:"),
		field("/proc/meminfo", "Slab:"), field("/proc/meminfo", "MemAvailable:"))
}

func main() {
	count, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	channel := make(chan int)
	var started, ended sync.WaitGroup
	var mutex sync.Mutex
	sum := 0
	ledger()
	started.Add(count)
	ended.Add(count)
	for i := 0; i < count; i++ {
		go func() {
			started.Done()
			value := <-channel
			mutex.Lock()
			sum += value
			mutex.Unlock()
			ended.Done()
		}()
	}
	started.Wait()
	time.Sleep(50 * time.Millisecond)
	ledger()
	for i := 0; i < count; i++ {
		channel <- i
	}
	ended.Wait()
	if sum != count*(count-1)/2 {
		panic("the sum is wrong")
	}
}
