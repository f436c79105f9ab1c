package main

import (
	"testing"
	"time"
)

// A task that goes on after the main task has finished belongs to the sample.
func TestTimedSectionEndsWithTheLastTask(t *testing.T) {
	const rest = 20 * time.Millisecond
	last := make(chan int64)
	team := newTeam()
	team.add(func() int64 {
		last <- 7
		time.Sleep(rest)
		return 1
	})
	out := team.timedBeside(1, func() int64 { return <-last })
	if out.checksum != 7 {
		t.Errorf("the checksum is %d; the main task's is 7", out.checksum)
	}
	if out.elapsed < int64(rest) {
		t.Errorf("the sample took %d ns; its last task alone takes %d", out.elapsed, int64(rest))
	}
}
