package main

func primes(o order) func(int64) int64 {
	chunks, limit, skewed := o.get("chunks_count"), o.get("limit_count"), o.get("skewed") == 1
	edge := func(index int64) int64 {
		if skewed {
			return limit * index * index / (chunks * chunks)
		}
		return edge(limit, chunks, index)
	}
	return func(index int64) int64 {
		var count int64
		for n := edge(index); n < edge(index+1); n++ {
			if isPrime(uint64(n)) {
				count++
			}
		}
		return count
	}
}

func isPrime(n uint64) bool {
	if n < 3 || n%2 == 0 {
		return n == 2
	}
	for d := uint64(3); d*d <= n; d += 2 {
		if n%d == 0 {
			return false
		}
	}
	return true
}
