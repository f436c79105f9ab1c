package main

import (
	"runtime"
	"sync/atomic"
	"time"
)

func yield(o order) (outcome, error) {
	tasks, yields := o.get("tasks_count"), o.get("yields_count")*o.iterations
	team := newTeam()
	for range tasks {
		team.add(func() int64 {
			var done int64
			for done < yields {
				runtime.Gosched()
				done++
			}
			return done
		})
	}
	team.assemble()
	return timed(tasks*yields, func() int64 {
		team.start()
		return team.join()
	}), nil
}

func pingPong(o order) (outcome, error) { return rally(o, 0), nil }

func roundTrip(o order) (outcome, error) {
	before := runtime.GOMAXPROCS(int(o.orCPUs("workers_count")))
	defer runtime.GOMAXPROCS(before)
	return rally(o, o.get("capacity_count")), nil
}

// rally sends a token to another goroutine and back, over channels of the given capacity.
func rally(o order, capacity int64) outcome {
	rounds := o.get("rounds_count") * o.iterations
	there, back := make(chan int64, capacity), make(chan int64, capacity)
	team := newTeam()
	team.add(func() int64 {
		for range rounds {
			back <- <-there + 1
		}
		return 0
	})
	team.assemble()
	team.start()
	out := timed(rounds, func() int64 {
		var value int64
		for range rounds {
			there <- value
			value = <-back
		}
		return value
	})
	team.join()
	return out
}

func pipePingPong(o order) (outcome, error) {
	rounds := o.get("rounds_count") * o.iterations
	pipes, err := newPipes(2)
	if err != nil {
		return outcome{}, err
	}
	defer pipes.close()
	there, back := pipes[0], pipes[1]
	failed := make(chan error, 1)
	go func() {
		failed <- func() error {
			for range rounds {
				value, err := there.read()
				if err == nil {
					err = back.write(value + 1)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	var mine error
	out := timed(rounds, func() int64 {
		var value int64
		for range rounds {
			if mine = there.write(value); mine == nil {
				value, mine = back.read()
			}
			if mine != nil {
				break
			}
		}
		return value
	})
	if mine != nil {
		return outcome{}, mine
	}
	return out, <-failed
}

func ring(o order) (outcome, error) { return ringOf(o, 0), nil }

func workingSet(o order) (outcome, error) {
	tasks, size := o.get("tasks_count"), o.get("size_bytes")
	if size == 0 {
		return ringOf(o, 0), nil
	}
	arrays := make([][]byte, tasks)
	for i := range arrays {
		arrays[i] = workingSetArray(size)
	}
	start := now()
	var alone int64
	for range 4 {
		for _, array := range arrays {
			alone += goOver(array)
		}
	}
	perHop := float64(now()-start) / float64(4*tasks)
	runtime.KeepAlive(alone)
	out := ringOf(o, size)
	out.metrics = map[string]float64{"sum_alone_ns": perHop}
	return out, nil
}

// ringOf sends a token around a ring. Each task reads size bytes of its own on every hop.
func ringOf(o order, size int64) outcome {
	tasks, hops := o.get("tasks_count"), o.get("hops_count")*o.iterations
	channels := make([]chan int64, tasks)
	for i := range channels {
		channels[i] = make(chan int64, 1)
	}
	end := make(chan int64, 1)
	team := newTeam()
	for i := range tasks {
		turns := hops / tasks
		if i < hops%tasks {
			turns++
		}
		from, to := channels[i], channels[(i+1)%tasks]
		array := workingSetArray(size)
		team.add(func() int64 {
			var total int64
			for range turns {
				value := <-from + 1
				total += goOver(array)
				if value == hops {
					end <- value
				} else {
					to <- value
				}
			}
			return total
		})
	}
	team.assemble()
	team.start()
	out := timed(hops, func() int64 {
		channels[0] <- 0
		return <-end
	})
	out.checksum += team.join()
	return out
}

func hog(o order) (outcome, error) {
	hogs, ns, tick := o.orCPUs("hogs_count"), o.get("hog_ns"), o.get("tick_ns")
	var slept atomic.Int64
	var stop atomic.Bool
	noted := make(chan latencies)
	go func() {
		var delays latencies
		for due := now() + tick; !stop.Load(); slept.Add(1) {
			time.Sleep(time.Duration(due - now()))
			for woken := now(); due <= woken; due += tick {
				delays.note(woken - due)
			}
		}
		noted <- delays
	}()
	waitUntil(func() bool { return slept.Load() > 0 })
	out := timed(o.iterations, func() int64 {
		var total int64
		for range o.iterations {
			total += startAll(hogs, func(int64) int64 {
				for end := now() + ns; now() < end; {
				}
				return 1
			})()
		}
		return total / hogs
	})
	stop.Store(true)
	delays := <-noted
	var worst, missed int64
	for _, delay := range delays {
		worst = max(worst, delay)
		if delay >= tick {
			missed++
		}
	}
	out.metrics = map[string]float64{
		"worst_delay_ns": float64(worst), "missed_ticks_ratio": float64(missed) / float64(max(1, len(delays))),
	}
	out.latency = delays.report(out.perSecond(int64(len(delays))))
	ticks := 1e9 / float64(tick)
	out.latency.Corrected, out.latency.Offered = true, &ticks
	return out, nil
}

func idleWake(o order) (outcome, error) {
	rounds, idle := o.get("rounds_count")*o.iterations, time.Duration(o.get("idle_ns"))
	there, back := make(chan int64), make(chan int64)
	go func() {
		for sent := range there {
			back <- now() - sent
		}
	}()
	var wakes latencies
	out := timed(rounds, func() int64 {
		for range rounds {
			if idle > 0 {
				time.Sleep(idle)
			}
			there <- now()
			wakes.note(<-back)
		}
		return int64(len(wakes))
	})
	close(there)
	out.metrics = map[string]float64{"wake_ns": wakes.median()}
	out.latency = wakes.report(out.perSecond(rounds))
	return out, nil
}
