package main

// nqueens counts the solutions for one position of the first two queens.
func nqueens(o order) func(int64) int64 {
	n := o.get("size_count")
	all := uint32(1)<<n - 1
	return func(index int64) int64 {
		first, second := uint32(1)<<(index/n), uint32(1)<<(index%n)
		columns, left, right := first, first<<1, first>>1
		if second&(columns|left|right) != 0 {
			return 0
		}
		return solutions(all, columns|second, (left|second)<<1, (right|second)>>1)
	}
}

// solutions takes the attacked columns of the next row: by column, and along
// the diagonals to either side.
func solutions(all, columns, left, right uint32) int64 {
	if columns == all {
		return 1
	}
	var count int64
	for free := all &^ (columns | left | right); free != 0; free &= free - 1 {
		queen := free & -free
		count += solutions(all, columns|queen, (left|queen)<<1, (right|queen)>>1)
	}
	return count
}
