package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
)

const (
	protocolVersion = 1
	maxLineBytes    = 1 << 20
	maxIterations   = 1_000_000_000
)

type hello struct {
	Type      string             `json:"type"`
	Protocol  int                `json:"protocol"`
	Lane      string             `json:"lane"`
	Language  string             `json:"language"`
	Runtime   string             `json:"runtime"`
	PID       int                `json:"pid"`
	CPUs      int                `json:"cpus_count"`
	Workloads map[string]*string `json:"workloads"`
}

type request struct {
	Type       string           `json:"type"`
	ID         int64            `json:"id"`
	Workload   string           `json:"workload"`
	Parameters map[string]int64 `json:"parameters"`
	Iterations int64            `json:"iterations"`
}

type sample struct {
	Type string `json:"type"`
	ID   int64  `json:"id"`
	figures
}

// figures are the fields that a sample and the load generator's report have in common.
type figures struct {
	Elapsed     int64              `json:"elapsed_ns"`
	Operations  int64              `json:"operations_count"`
	Checksum    int64              `json:"checksum"`
	CPU         int64              `json:"cpu_ns"`
	Voluntary   int64              `json:"voluntary_switches_count"`
	Involuntary int64              `json:"involuntary_switches_count"`
	Latency     *latency           `json:"latency,omitempty"`
	Metrics     map[string]float64 `json:"metrics,omitempty"`
}

type refused struct {
	Type    string `json:"type"`
	ID      int64  `json:"id"`
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

type failure struct{ kind, message string }

func (f *failure) Error() string { return f.message }

func badRequest(format string, arguments ...any) *failure {
	return &failure{"bad_request", fmt.Sprintf(format, arguments...)}
}

func notSupported(format string, arguments ...any) *failure {
	return &failure{"not_supported", fmt.Sprintf(format, arguments...)}
}

// asFailure distinguishes a refusal of the host from other errors.
func asFailure(err error) *failure {
	var own *failure
	if errors.As(err, &own) {
		return own
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.EMFILE, syscall.ENFILE:
			return &failure{"limit", err.Error() + "; look at ulimit -n"}
		case syscall.EAGAIN, syscall.ENOMEM, syscall.ENOSPC, syscall.EADDRNOTAVAIL:
			return &failure{"limit", fmt.Sprintf("%v (errno %d)", err, int(errno))}
		}
	}
	return &failure{"failed", err.Error()}
}

func newHello() hello {
	workloads := make(map[string]*string)
	for _, work := range catalogue {
		workloads[work.id] = nil
		if work.refuses != "" {
			why := work.refuses
			workloads[work.id] = &why
		}
	}
	version := "go " + strings.TrimPrefix(runtime.Version(), "go")
	return hello{"hello", protocolVersion, laneName, version, version, os.Getpid(), runtime.NumCPU(), workloads}
}

func newSample(id int64, out outcome) sample {
	return sample{"sample", id, figures{
		out.elapsed, out.operations, out.checksum, out.used.cpu, out.used.voluntary, out.used.involuntary,
		out.latency, out.metrics,
	}}
}

func refusal(id int64, f *failure) refused { return refused{"error", id, f.kind, f.message} }

// parseRequest reads a request. If it fails, the result still has the id, if that can be read.
func parseRequest(line []byte) (request, *failure) {
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		var only struct {
			ID int64 `json:"id"`
		}
		_ = json.Unmarshal(line, &only) // Without an id the answer has id 0.
		return request{ID: only.ID}, badRequest("this is no request of the protocol: %v", err)
	}
	if req.Type != "run" && req.Type != "quit" {
		return req, badRequest("this is no request of the protocol: the type is %q, not run or quit", req.Type)
	}
	return req, nil
}

func newOrder(req request) (*workload, order, *failure) {
	work, known := find(req.Workload)
	if !known {
		return nil, order{}, badRequest("unknown workload %s; this lane knows %s", req.Workload, ids())
	}
	if bad := work.check(req.Parameters); bad != nil {
		return nil, order{}, bad
	}
	if req.Iterations < 1 || req.Iterations > maxIterations {
		return nil, order{}, badRequest("%d iterations; it must be 1 to %d", req.Iterations, maxIterations)
	}
	if (strings.HasPrefix(work.id, "memory.") || strings.HasPrefix(work.id, "service.")) && req.Iterations != 1 {
		return nil, order{}, badRequest("%s is one experiment: iterations must be 1", work.id)
	}
	if work.refuses != "" {
		return nil, order{}, notSupported("%s", work.refuses)
	}
	return work, order{req.Parameters, req.Iterations}, nil
}

var errLineTooLong = errors.New("the line is too long")

// readLine returns a line without its end. A line beyond the limit is skipped.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	switch {
	case err == bufio.ErrBufferFull:
		for err == bufio.ErrBufferFull {
			_, err = in.ReadSlice('\n')
		}
		return nil, errLineTooLong
	case err == io.EOF && len(line) > 0:
		return line, nil // The next call finds the end of the input again.
	case err != nil:
		return nil, err
	}
	return bytes.TrimSuffix(line, []byte{'\n'}), nil
}

// readMemory requests a reading of the memory ledger from the study in the middle of
// a sample. The study sends nothing else meanwhile, so the answer is the next line.
func readMemory() error {
	if err := say(os.Stdout, map[string]string{"type": "read_memory"}); err != nil {
		return err
	}
	answer := make([]byte, 0, 64)
	for next := make([]byte, 1); len(answer) == 0 || answer[len(answer)-1] != '\n'; {
		if _, err := io.ReadFull(os.Stdin, next); err != nil {
			return fmt.Errorf("waiting for a reading of memory: %w", err)
		}
		answer = append(answer, next[0])
	}
	var read struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(answer, &read); err != nil || read.Type != "memory_read" {
		return badRequest("the study answered read_memory by %q", answer)
	}
	return nil
}

func say(output io.Writer, message any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	_, err = output.Write(append(line, '\n'))
	return err
}
