package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// The suite's programs that load a lane's server, or that the lane is a client of. Each is a separate process.

const loadVariable = "THREADBARE_LOAD"

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

type load figures

func runLoad(arguments ...string) (load, error) {
	var report load
	text, err := exec.Command(os.Getenv(loadVariable), arguments...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return report, fmt.Errorf("the load generator ended with %v: %s", exit, strings.TrimSpace(string(exit.Stderr)))
		}
		return report, fmt.Errorf("starting the load generator: %w", err)
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return report, fmt.Errorf("the load generator's report: %w", err)
	}
	return report, nil
}

// outcome is the sample of a server. before is the lane's usage when the load began.
func (l load) outcome(before usage) outcome {
	own := used().minus(before).minus(usage{l.CPU, l.Voluntary, l.Involuntary})
	// The report of a search describes only its last part, so the sample gets only that part's share of the usage.
	if asked := l.Metrics["load_asked_count"]; asked > 0 {
		share := func(n int64) int64 { return int64(float64(n) * float64(l.Operations) / asked) }
		own = usage{share(own.cpu), share(own.voluntary), share(own.involuntary)}
	}
	return outcome{
		elapsed: l.Elapsed, operations: l.Operations, checksum: l.Checksum,
		used: own, latency: l.Latency, metrics: l.Metrics,
	}
}

// helper is one of the suite's own servers, in a separate process: it prints
// its address, serves until its input ends, and prints a report.
type helper struct {
	address string
	process *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
}

func startHelper(arguments ...string) (*helper, error) {
	h := &helper{process: exec.Command(os.Getenv(loadVariable), arguments...)}
	h.process.Stderr = os.Stderr
	input, err := h.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := h.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.input, h.output = input, bufio.NewReader(output)
	if err := h.process.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", arguments[0], err)
	}
	var listening struct {
		Address string `json:"address"`
	}
	if err := h.readLine(&listening); err != nil {
		_ = h.process.Process.Kill()
		_ = h.process.Wait()
		return nil, err
	}
	h.address = listening.Address
	return h, nil
}

func (h *helper) readLine(into any) error {
	line, err := h.output.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, into)
	}
	if err != nil {
		return fmt.Errorf("the report of %s: %w", h.process.Args[1], err)
	}
	return nil
}

// end ends the program and returns its report, if it prints one.
func (h *helper) end(report any) error {
	_ = h.input.Close()
	var err error
	if report != nil {
		err = h.readLine(report)
	}
	if ended := h.process.Wait(); err == nil {
		err = ended
	}
	return err
}
