package main

func mandelbrot(o order) func(int64) int64 {
	n, chunks, limit := o.get("size_count"), o.get("chunks_count"), o.get("limit_count")
	return func(index int64) int64 {
		var total int64
		for row := edge(n, chunks, index); row < edge(n, chunks, index+1); row++ {
			for column := range n {
				total += steps(-2+3*float64(column)/float64(n), -1.5+3*float64(row)/float64(n), limit)
			}
		}
		return total
	}
}

// steps converts each product, which forbids the compiler to fuse it with the
// addition and to round differently on some CPUs.
func steps(cr, ci float64, limit int64) int64 {
	var zr, zi float64
	var count int64
	for count < limit && float64(zr*zr)+float64(zi*zi) <= 4 {
		zr, zi = float64(zr*zr)-float64(zi*zi)+cr, float64(2*zr*zi)+ci
		count++
	}
	return count
}
