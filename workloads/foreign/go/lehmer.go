package main

const lehmerModulus = 2_147_483_647

func lehmerNext(x int64) int64 { return x * 48_271 % lehmerModulus }

func lehmer(seed, steps int64) int64 {
	x := seed%(lehmerModulus-1) + 1
	for range steps {
		x = lehmerNext(x)
	}
	return x
}
