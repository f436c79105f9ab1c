package main

// hashing is FNV-1a of 32 bits, repeatedly over one block for each chunk.
func hashing(o order) func(int64) int64 {
	size, rounds := o.get("block_bytes"), o.get("rounds_count")
	return func(index int64) int64 {
		block := make([]byte, size)
		for j := range block {
			block[j] = byte(int64(j)*31 + index*17)
		}
		state := uint32(2_166_136_261)
		for range rounds {
			for _, b := range block {
				state = (state ^ uint32(b)) * 16_777_619
			}
		}
		return int64(state)
	}
}
