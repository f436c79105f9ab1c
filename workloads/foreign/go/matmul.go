package main

func matmul(o order) func(int64) int64 {
	n, chunks := o.get("size_count"), o.get("chunks_count")
	left, right := make([]float64, n*n), make([]float64, n*n)
	for r := range n {
		for c := range n {
			left[r*n+c] = float64((r*n + c) % 7)
			right[r*n+c] = float64((r + c*3) % 5)
		}
	}
	return func(index int64) int64 {
		row := make([]float64, n)
		var total float64
		for r := edge(n, chunks, index); r < edge(n, chunks, index+1); r++ {
			clear(row)
			for k, factor := range left[r*n : (r+1)*n] {
				from := right[int64(k)*n:][:len(row)]
				for c := range row {
					row[c] += factor * from[c]
				}
			}
			for _, element := range row {
				total += element
			}
		}
		return int64(total)
	}
}
