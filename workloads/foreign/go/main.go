// Command lane runs the suite's workloads on goroutines. It reads requests
// from stdin and answers on stdout, one JSON object a line, as PROTOCOL.md
// says. It uses the standard library only.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
)

const laneName = "go"

func main() {
	lane := flag.String("lane", laneName, "the lane to run")
	flag.Parse()
	if *lane != laneName || flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "this program runs the lane %s only; it was asked for %q %q\n", laneName, *lane, flag.Args())
		os.Exit(2)
	}
	// NumCPU is the size of the affinity mask at the start. The default of
	// GOMAXPROCS may be lower in a container, and change.
	runtime.GOMAXPROCS(runtime.NumCPU())
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "the lane go:", err)
		os.Exit(1)
	}
}

// serve writes the hello, then answers requests until the request to quit or the end of the input.
func serve(input io.Reader, output io.Writer) error {
	in := bufio.NewReaderSize(input, maxLineBytes+1)
	if err := say(output, newHello()); err != nil {
		return err
	}
	for {
		line, err := readLine(in)
		switch {
		case err == io.EOF:
			return nil
		case err == errLineTooLong:
			err = say(output, refusal(0, badRequest("the line is longer than %d bytes", maxLineBytes)))
		case err == nil:
			req, bad := parseRequest(line)
			if bad == nil && req.Type == "quit" {
				return nil
			}
			err = say(output, answer(req, bad))
		}
		if err != nil {
			return err
		}
	}
}

// answer takes a sample. An error ends only this sample.
func answer(req request, bad *failure) (response any) {
	defer func() {
		if cause := recover(); cause != nil {
			response = refusal(req.ID, &failure{"failed", fmt.Sprintf("the main goroutine panicked: %v", cause)})
		}
	}()
	if bad != nil {
		return refusal(req.ID, bad)
	}
	work, order, bad := newOrder(req)
	if bad != nil {
		return refusal(req.ID, bad)
	}
	out, err := work.run(order)
	if err != nil {
		return refusal(req.ID, asFailure(err))
	}
	return newSample(req.ID, out)
}
