package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const blockBytes = 64 << 10

func sleepers(o order) (outcome, error) {
	tasks, sleep := o.get("tasks_count"), time.Duration(o.get("sleep_ns"))
	out := timed(o.iterations*tasks, func() int64 {
		var total int64
		for range o.iterations {
			total += startAll(tasks, func(i int64) int64 {
				time.Sleep(sleep)
				return i + 1
			})()
		}
		return total
	})
	out.metrics = map[string]float64{"over_ns": float64(out.elapsed)/float64(o.iterations) - float64(sleep)}
	return out, nil
}

func tcpEcho(o order) (outcome, error) {
	before := used()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return outcome{}, err
	}
	served := make(chan error, 1)
	go func() { served <- serveEcho(listener, readBytes(o)) }()
	report, err := runLoad("load", "--address", listener.Addr().String(),
		"--connections", decimal(o.get("connections_count")), "--payload-bytes", decimal(o.get("payload_bytes")),
		"--requests", decimal(o.get("requests_count")*o.iterations), "--offered-per-s", decimal(o.get("offered_per_s")),
		"--load-percent", decimal(o.get("load_percent")), "--burst", decimal(max(1, o.get("burst_count"))))
	// Ends the server once the generator has closed its connections.
	_ = listener.Close()
	if serving := <-served; err == nil {
		err = serving
	}
	if err != nil {
		return outcome{}, err
	}
	return report.outcome(before), nil
}

// readBytes is how many bytes a server reads at a time: one request of a burst, so each is answered separately.
func readBytes(o order) int64 {
	if o.get("burst_count") > 0 {
		return o.get("payload_bytes")
	}
	return o.get("block_bytes")
}

// serveEcho serves until the listener is closed and all connections have ended.
func serveEcho(listener net.Listener, size int64) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	for {
		connection, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			_ = listener.Close() // Lets the generator fail now instead of later.
			return err
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			defer connection.Close()
			echo(connection, size)
		}()
	}
}

// echo writes back what it reads. The generator counts missing answers.
func echo(connection net.Conn, size int64) {
	block := make([]byte, size)
	for {
		n, err := connection.Read(block)
		if err != nil {
			return
		}
		if _, err := connection.Write(block[:n]); err != nil {
			return
		}
	}
}

func fanout(o order) (outcome, error) {
	requests, waits := o.get("requests_count"), o.get("waits_count")
	wait, steps := time.Duration(o.get("wait_ns")), o.get("steps_count")
	return timed(o.iterations*requests, func() int64 {
		var total int64
		for range o.iterations {
			total += startAll(requests, func(i int64) int64 {
				join := startAll(waits, func(int64) int64 {
					time.Sleep(wait)
					return 1
				})
				return lehmer(i, steps)%1000 + join()
			})()
		}
		return total
	}), nil
}

func fileRead(o order) (outcome, error) {
	tasks, size, cold := o.get("tasks_count"), o.get("file_bytes"), o.get("cold") == 1
	folder, err := os.MkdirTemp("", "threadbare-")
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(folder)
	path := func(i int64) string { return filepath.Join(folder, strconv.FormatInt(i, 10)) }
	for i := range tasks {
		if err := writeFile(path(i), i, size); err != nil {
			return outcome{}, err
		}
	}
	out := outcome{operations: o.iterations * tasks}
	failed := make(chan error, tasks)
	for range o.iterations {
		for i := int64(0); cold && i < tasks; i++ {
			if err := forget(path(i)); err != nil {
				return outcome{}, err
			}
		}
		out.addTimed(func() {
			out.checksum += startAll(tasks, func(i int64) int64 {
				total, err := readFile(path(i), o.get("block_bytes"))
				failed <- err
				return total
			})()
		})
		if err := firstOf(failed, tasks); err != nil {
			return outcome{}, err
		}
	}
	return out, nil
}

func readFile(path string, size int64) (int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var total int64
	block := make([]byte, size)
	for {
		n, err := file.Read(block)
		total += addUp(block[:n])
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func writeFile(path string, index, size int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	block := make([]byte, blockBytes)
	for offset := int64(0); offset < size; offset += blockBytes {
		part := block[:min(size-offset, blockBytes)]
		fill(index, offset, part)
		if _, err := file.Write(part); err != nil {
			return err
		}
	}
	return file.Sync()
}

// forget makes the kernel drop a file's pages from its cache.
func forget(path string) error {
	const dontNeed = 4 // POSIX_FADV_DONTNEED of Linux
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, file.Fd(), 0, 0, dontNeed, 0, 0); errno != 0 {
		return fmt.Errorf("posix_fadvise: %w", errno)
	}
	return nil
}
