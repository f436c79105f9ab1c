package main

import "slices"

func sorting(o order) func(int64) int64 {
	items := o.get("items_count")
	return func(index int64) int64 {
		numbers := make([]int64, items)
		x := lehmer(index, 1)
		for i := range numbers {
			numbers[i] = x
			x = lehmerNext(x)
		}
		slices.Sort(numbers)
		var total int64
		for j, number := range numbers {
			total += number * (int64(j)%7 + 1) % 1_000_003
		}
		return total
	}
}
