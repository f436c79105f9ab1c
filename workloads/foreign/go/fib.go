package main

func fibonacci(o order) func(int64) int64 {
	depth := o.get("depth_count")
	return func(index int64) int64 { return fib(depth - index%4) }
}

func fib(n int64) int64 {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}
