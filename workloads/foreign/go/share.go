package main

import (
	"sync"
	"sync/atomic"
)

// Goroutines that share data.

// timedTeam times a team from opening the gate to the last join. Its tasks hand over the checksum.
func (t *team) timed(operations int64) outcome {
	t.assemble()
	return timed(operations, func() int64 {
		t.start()
		return t.join()
	})
}

// timedBeside times a team from opening the gate, with the work of the main task, to the last join. The main task
// hands over the checksum.
func (t *team) timedBeside(operations int64, main func() int64) outcome {
	t.assemble()
	return timed(operations, func() int64 {
		t.start()
		checksum := main()
		t.join()
		return checksum
	})
}

// receive adds up count numbers.
func receive(from <-chan int64, count int64) int64 {
	var total int64
	for range count {
		total += <-from
	}
	return total
}

// produce sends 1 to items, repeatedly.
func produce(to chan<- int64, items, times int64) {
	for range times {
		for item := range items {
			to <- item + 1
		}
	}
}

func counter(o order) (outcome, error) {
	tasks, additions := o.get("tasks_count"), o.get("additions_count")*o.iterations
	team := newTeam()
	switch o.get("means") {
	case 0:
		var count atomic.Int64
		for range tasks {
			team.add(func() int64 {
				for range additions {
					count.Add(1)
				}
				return 0
			})
		}
		out := team.timed(tasks * additions)
		out.checksum = count.Load()
		return out, nil
	case 1:
		var lock sync.Mutex
		var count int64
		for range tasks {
			team.add(func() int64 {
				for range additions {
					lock.Lock()
					count++
					lock.Unlock()
				}
				return 0
			})
		}
		out := team.timed(tasks * additions)
		out.checksum = count
		return out, nil
	case 2:
		ones := make(chan int64, o.get("capacity_count"))
		for range tasks {
			team.add(func() int64 {
				for range additions {
					ones <- 1
				}
				return 0
			})
		}
		team.add(func() int64 { return receive(ones, tasks*additions) })
		return team.timed(tasks * additions), nil
	default:
		return outcome{}, badRequest("means is %d; it must be 0, 1 or 2", o.get("means"))
	}
}

func pipeline(o order) (outcome, error) {
	stages, items := o.get("stages_count"), o.get("items_count")
	size, all := int(o.get("capacity_count")), items*o.iterations
	team := newTeam()
	first := make(chan int64, size)
	team.add(func() int64 {
		for range o.iterations {
			for item := range items {
				first <- item
			}
		}
		return 0
	})
	last := first
	for range stages {
		from, to := last, make(chan int64, size)
		team.add(func() int64 {
			for range all {
				to <- <-from + 1
			}
			return 0
		})
		last = to
	}
	return team.timedBeside(all*(stages+1), func() int64 { return receive(last, all) }), nil
}

func sieve(o order) (outcome, error) {
	limit := o.get("limit_count")
	var found atomic.Int64
	out := timed(0, func() int64 {
		var total int64
		for range o.iterations {
			numbers, handed, ended := make(chan int64), make(chan int64, 1), make(chan int64, 1)
			go filter(numbers, handed, &found)
			go func() {
				for n := int64(2); n <= limit; n++ {
					numbers <- n
				}
				numbers <- 0
				ended <- 0
			}()
			total += <-handed + <-ended
		}
		return total
	})
	out.operations = found.Load()
	return out, nil
}

// filter takes its first number as a prime, and passes on the numbers that this
// prime does not divide. It starts the next filter, which receives them.
func filter(from <-chan int64, handed chan<- int64, found *atomic.Int64) {
	prime := <-from
	if prime == 0 {
		handed <- 0
		return
	}
	found.Add(1)
	to, below := make(chan int64), make(chan int64, 1)
	go filter(to, below, found)
	for {
		n := <-from
		if n == 0 {
			to <- 0
			handed <- prime + <-below
			return
		}
		if n%prime != 0 {
			to <- n
		}
	}
}

func fanIn(o order) (outcome, error) {
	producers, items := o.get("producers_count"), o.get("items_count")
	numbers := make(chan int64, o.get("capacity_count"))
	team := newTeam()
	for range producers {
		team.add(func() int64 {
			produce(numbers, items, o.iterations)
			return 0
		})
	}
	all := o.iterations * producers * items
	return team.timedBeside(all, func() int64 { return receive(numbers, all) }), nil
}

func selectTwo(o order) (outcome, error) {
	items := o.get("items_count")
	one, other := make(chan int64), make(chan int64)
	team := newTeam()
	for _, numbers := range []chan int64{one, other} {
		team.add(func() int64 {
			produce(numbers, items, o.iterations)
			return 0
		})
	}
	all := 2 * items * o.iterations
	return team.timedBeside(all, func() int64 {
		var total int64
		for range all {
			select {
			case number := <-one:
				total += number
			case number := <-other:
				total += number
			}
		}
		return total
	}), nil
}

func workerPool(o order) (outcome, error) {
	workers, jobs, steps := o.orCPUs("workers_count"), o.get("jobs_count"), o.get("steps_count")
	todo, done := make(chan int64, o.get("capacity_count")), make(chan int64, o.get("capacity_count"))
	team := newTeam()
	for range workers {
		team.add(func() int64 {
			for job := <-todo; job != 0; job = <-todo {
				done <- lehmer(job, steps)
			}
			return 0
		})
	}
	team.add(func() int64 {
		produce(todo, jobs, o.iterations)
		for range workers {
			todo <- 0
		}
		return 0
	})
	all := jobs * o.iterations
	return team.timedBeside(all, func() int64 { return receive(done, all) }), nil
}

func boundedBuffer(o order) (outcome, error) {
	tasks, items := o.get("tasks_count"), o.get("items_count")
	buffer := make(chan int64, o.get("capacity_count"))
	team := newTeam()
	for range tasks {
		team.add(func() int64 {
			produce(buffer, items, o.iterations)
			return 0
		})
		team.add(func() int64 { return receive(buffer, items*o.iterations) })
	}
	return team.timed(o.iterations * tasks * items), nil
}

func chameneos(o order) (outcome, error) {
	creatures, meetings := o.get("creatures_count"), o.get("meetings_count")*o.iterations
	if creatures < 2 {
		return outcome{}, badRequest("creatures_count is %d; two must be there to meet", creatures)
	}
	requests := make(chan int64, creatures)
	answers := make([]chan int64, creatures)
	team := newTeam()
	for creature := range creatures {
		answers[creature] = make(chan int64, 1)
		team.add(func() int64 { return meet(creature, requests, answers[creature]) })
	}
	team.add(func() int64 {
		for range meetings {
			first, second := <-requests, <-requests
			answers[first/4] <- second%4 + 1
			answers[second/4] <- first%4 + 1
		}
		for range creatures {
			answers[<-requests/4] <- 0
		}
		return 0
	})
	return team.timed(meetings), nil
}

// meet is a task that meets others; it returns how often it has met one.
func meet(creature int64, requests chan<- int64, answer <-chan int64) int64 {
	colour := creature % 3
	for met := int64(0); ; met++ {
		requests <- 4*creature + colour
		got := <-answer
		if got == 0 {
			return met
		}
		if other := got - 1; other != colour {
			colour = 3 - colour - other
		}
	}
}

func big(o order) (outcome, error) {
	tasks, pings := o.get("tasks_count"), o.get("pings_count")*o.iterations
	if tasks < 2 {
		return outcome{}, badRequest("tasks_count is %d; two must be there to ask", tasks)
	}
	boxes, finished := make([]chan int64, tasks), make(chan int64, tasks)
	for i := range boxes {
		boxes[i] = make(chan int64, tasks+1)
	}
	team := newTeam()
	for i := range tasks {
		team.add(func() int64 { return ask(i, pings, boxes, finished) })
	}
	team.add(func() int64 {
		receive(finished, tasks)
		for _, box := range boxes {
			box <- 0
		}
		return 0
	})
	return team.timed(tasks * pings), nil
}

// ask sends requests to others, one after another, and answers requests until all have
// their answers. It returns how many it got.
func ask(i, pings int64, boxes []chan int64, finished chan<- int64) int64 {
	tasks, x := int64(len(boxes)), lehmer(i, 1)
	next := func() {
		boxes[(i+1+x%(tasks-1))%tasks] <- i + 1
		x = lehmerNext(x)
	}
	next()
	var answers int64
	for {
		switch message := <-boxes[i]; message {
		case 0:
			return answers
		case tasks + 1:
			if answers++; answers < pings {
				next()
			} else {
				finished <- 1
			}
		default:
			boxes[message-1] <- tasks + 1
		}
	}
}

// fork is a lock alone on its cache lines.
type fork struct {
	sync.Mutex
	_ [128]byte
}

func philosophers(o order) (outcome, error) {
	tasks, rounds := o.get("tasks_count"), o.get("rounds_count")*o.iterations
	if tasks < 2 {
		return outcome{}, badRequest("tasks_count is %d; a philosopher alone has one fork only", tasks)
	}
	forks := make([]fork, tasks)
	team := newTeam()
	for i := range tasks {
		next := (i + 1) % tasks
		low, high := &forks[min(i, next)], &forks[max(i, next)]
		team.add(func() int64 {
			var meals int64
			for range rounds {
				low.Lock()
				high.Lock()
				meals++
				high.Unlock()
				low.Unlock()
			}
			return meals
		})
	}
	return team.timed(tasks * rounds), nil
}

func messaging(o order) (outcome, error) {
	groups, senders := o.get("groups_count"), o.get("senders_count")
	loops := o.get("loops_count") * o.iterations
	team := newTeam()
	for range groups {
		receivers := make([]chan int64, senders)
		for i := range receivers {
			receivers[i] = make(chan int64, o.get("capacity_count"))
			team.add(func() int64 { return receive(receivers[i], senders*loops) })
		}
		for range senders {
			team.add(func() int64 {
				for range loops {
					for _, receiver := range receivers {
						receiver <- 1
					}
				}
				return 0
			})
		}
	}
	return team.timed(groups * senders * senders * loops), nil
}

func brigade(o order) (outcome, error) {
	tasks, rounds := o.get("tasks_count"), o.get("rounds_count")*o.iterations
	chain, err := newPipes(tasks + 1)
	if err != nil {
		return outcome{}, err
	}
	defer chain.close()
	failed := make(chan error, tasks)
	for i := range tasks {
		go func() { failed <- passOn(chain[i], chain[i+1], rounds) }()
	}
	var mine error
	out := timed(rounds*(tasks+1), func() int64 {
		var value int64
		for range rounds {
			if mine = chain[0].write(value); mine == nil {
				value, mine = chain[tasks].read()
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
	return out, firstOf(failed, tasks)
}

// passOn reads a number and writes it + 1, repeatedly.
func passOn(from, to pipe, times int64) error {
	for range times {
		value, err := from.read()
		if err == nil {
			err = to.write(value + 1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// firstOf waits for count results and returns the first error.
func firstOf(failed <-chan error, count int64) error {
	var first error
	for range count {
		if err := <-failed; first == nil {
			first = err
		}
	}
	return first
}
