package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/smtp"
	"os"
	"os/exec"
	"strconv"
)

const (
	mailFrom = "sender@example.com"
	mailTo   = "receiver@example.com"
)

var mailText = []byte("From: <" + mailFrom + ">\r\nTo: <" + mailTo + ">\r\nSubject: Hello\r\n\r\nOne of many.\r\n")

// email sends messages by net/smtp, each over a connection of its own.
func email(o order) (outcome, error) {
	tasks := o.get("tasks_count")
	server, err := startMailServer(o.get("delay_ns"))
	if err != nil {
		return outcome{}, err
	}
	failed := make(chan error, tasks)
	out := outcome{operations: o.iterations * tasks}
	for range o.iterations {
		out.addTimed(func() {
			startAll(tasks, func(int64) int64 {
				failed <- smtp.SendMail(server.Address, nil, mailFrom, []string{mailTo}, mailText)
				return 0
			})()
		})
		if wrong := firstOf(failed, tasks); err == nil {
			err = wrong
		}
	}
	accepted, ended := server.end()
	if err == nil {
		err = ended
	}
	out.checksum = accepted
	out.metrics = map[string]float64{"load_busy_ratio": float64(server.CPU) / float64(max(out.elapsed, 1))}
	return out, err
}

// mailServer is the suite's own SMTP server in a process of its own.
type mailServer struct {
	Address  string `json:"address"`
	Accepted int64  `json:"accepted_count"`
	CPU      int64  `json:"cpu_ns"`
	process  *exec.Cmd
	input    io.WriteCloser
	output   *bufio.Reader
}

func startMailServer(delay int64) (*mailServer, error) {
	s := &mailServer{process: exec.Command(os.Getenv(loadVariable), "smtp", "--delay-ns", strconv.FormatInt(delay, 10))}
	s.process.Stderr = os.Stderr
	input, err := s.process.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.input, s.output = input, bufio.NewReader(output)
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("starting the mail server: %w", err)
	}
	return s, s.readLine()
}

func (s *mailServer) readLine() error {
	line, err := s.output.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		return fmt.Errorf("the mail server's report: %w", err)
	}
	return nil
}

// end returns how many messages the server has accepted.
func (s *mailServer) end() (int64, error) {
	_ = s.input.Close()
	err := s.readLine()
	if ended := s.process.Wait(); err == nil {
		err = ended
	}
	return s.Accepted, err
}
