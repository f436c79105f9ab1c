package main

func workingSetArray(size int64) []byte {
	array := make([]byte, size)
	fill(0, 0, array)
	return array
}

func goOver(array []byte) int64 { return addUp(array) }
