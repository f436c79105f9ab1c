package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// memory is the change between two readings, as the protocol carries it.
type memory struct {
	Tasks       int64 `json:"tasks_count"`
	Available   int64 `json:"available_bytes"`
	Anonymous   int64 `json:"anonymous_bytes"`
	KernelStack int64 `json:"kernel_stack_bytes"`
	Slab        int64 `json:"slab_bytes"`
	PageTables  int64 `json:"page_tables_bytes"`
	PerCPU      int64 `json:"percpu_bytes"`
	Virtual     int64 `json:"virtual_bytes"`
}

const (
	settleStep  = 50 * time.Millisecond
	settleLimit = time.Second
	settleBytes = 256 << 10
)

// ledger is one reading of the host and of this process.
type ledger struct{ available, anonymous, kernelStack, slab, pageTables, perCPU, virtual int64 }

// readLedger waits until the host has settled and reads.
func readLedger() (ledger, error) {
	host, err := settle()
	if err != nil {
		return ledger{}, err
	}
	own, err := procFile("/proc/self/smaps_rollup")
	if err != nil {
		return ledger{}, err
	}
	status, err := procFile("/proc/self/status")
	if err != nil {
		return ledger{}, err
	}
	return ledger{
		available: host["MemAvailable"], anonymous: own["Pss_Anon"] + own["Pss_Shmem"],
		kernelStack: host["KernelStack"], slab: host["Slab"], pageTables: host["PageTables"] + host["SecPageTables"],
		perCPU: host["Percpu"], virtual: status["VmSize"],
	}, nil
}

func (l ledger) until(later ledger, tasks int64) *memory {
	return &memory{
		tasks, l.available - later.available, later.anonymous - l.anonymous, later.kernelStack - l.kernelStack,
		later.slab - l.slab, later.pageTables - l.pageTables, later.perCPU - l.perCPU, later.virtual - l.virtual,
	}
}

// settle reads /proc/meminfo until three readings in a row agree.
func settle() (map[string]int64, error) {
	start := time.Now()
	last, err := readMeminfo()
	for same := 1; err == nil && same < 3 && time.Since(start) < settleLimit; same++ {
		time.Sleep(settleStep)
		var next map[string]int64
		next, err = readMeminfo()
		if moved := next["MemAvailable"] - last["MemAvailable"]; max(moved, -moved) > settleBytes {
			same = 0
		}
		last = next
	}
	return last, err
}

func readMeminfo() (map[string]int64, error) {
	// Makes the kernel add up its per-CPU counters now. Only root may; others
	// read figures that are a second older.
	_, _ = os.ReadFile("/proc/sys/vm/stat_refresh")
	return procFile("/proc/meminfo")
}

// procFile reads the lines "Name:   12 kB" of a file, in bytes.
func procFile(path string) (map[string]int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the memory ledger: %w", err)
	}
	defer file.Close()
	fields := make(map[string]int64)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if number, isKB := strings.CutSuffix(strings.TrimSpace(rest), " kB"); isKB {
			if kb, err := strconv.ParseInt(number, 10, 64); err == nil {
				fields[name] = kb << 10
			}
		}
	}
	return fields, lines.Err()
}
