package main

func spawnOne(o order) (outcome, error) {
	return timed(o.iterations, func() int64 {
		var total int64
		for range o.iterations {
			done := make(chan int64, 1) // The capacity lets the sender end without waiting.
			go func() { done <- 1 }()
			total += <-done
		}
		return total
	}), nil
}

func spawnBatch(o order) (outcome, error) {
	tasks := o.get("tasks_count")
	return timed(o.iterations*tasks, func() int64 {
		var total int64
		for range o.iterations {
			total += startAll(tasks, func(i int64) int64 { return i + 1 })()
		}
		return total
	}), nil
}

func firstInstruction(o order) (outcome, error) {
	var returns, firsts, finishes latencies
	out := timed(o.iterations, func() int64 {
		var total int64
		for range o.iterations {
			type first struct{ ran, handed int64 }
			done := make(chan first, 1)
			called := now()
			go func() {
				ran := now()
				done <- first{ran, 1}
			}()
			returned := now()
			got := <-done
			finished := now()
			total += got.handed
			returns.note(returned - called)
			firsts.note(got.ran - called)
			finishes.note(finished - got.ran)
		}
		return total
	})
	out.metrics = map[string]float64{
		"spawn_return_ns": returns.median(), "first_instruction_ns": firsts.median(), "finish_ns": finishes.median(),
	}
	out.latency = firsts.report(out.perSecond(o.iterations))
	return out, nil
}

func skynet(o order) (outcome, error) {
	leaves := o.get("leaves_count")
	for power := int64(10); power != leaves; power *= 10 {
		if power > leaves {
			return outcome{}, badRequest("leaves_count is %d; it must be a power of 10, 10 or more", leaves)
		}
	}
	return timed(o.iterations*leaves, func() int64 {
		var total int64
		for range o.iterations {
			root := make(chan int64, 1)
			go grow(root, 0, leaves)
			total += <-root
		}
		return total
	}), nil
}

// grow hands over a leaf's number, or the sum of its ten children's values.
func grow(parent chan<- int64, first, leaves int64) {
	if leaves == 1 {
		parent <- first
		return
	}
	children := make(chan int64, 10)
	for i := range int64(10) {
		go grow(children, first+i*leaves/10, leaves/10)
	}
	var total int64
	for range 10 {
		total += <-children
	}
	parent <- total
}
