package main

const bytesPeriod = 251

func fill(file, offset int64, block []byte) {
	for j := range block {
		block[j] = byte((file + offset + int64(j)) % bytesPeriod)
	}
}

func addUp(block []byte) int64 {
	var total int64
	for _, b := range block {
		total += int64(b)
	}
	return total
}
