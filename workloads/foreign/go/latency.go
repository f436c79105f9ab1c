package main

import (
	"math/bits"
	"slices"
)

type latency struct {
	Corrected bool       `json:"corrected"`
	Offered   *float64   `json:"offered_per_s"`
	Achieved  float64    `json:"achieved_per_s"`
	Buckets   [][2]int64 `json:"buckets"`
}

// latencies are nanoseconds, in the order of their recording.
type latencies []int64

func (l *latencies) note(ns int64) { *l = append(*l, max(ns, 0)) }

func (l latencies) median() float64 {
	sorted := slices.Clone(l)
	slices.Sort(sorted)
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[(len(sorted)-1)/2])
}

// report counts the latencies in buckets. A bucket is at most 1/1,024 of its values wide.
func (l latencies) report(achieved float64) *latency {
	counts := make(map[int64]int64)
	for _, ns := range l {
		// All bits but the 11 highest are set to 1: this is the highest value of the bucket.
		width := max(bits.Len64(uint64(ns))-11, 0)
		counts[ns|(1<<width-1)]++
	}
	buckets := make([][2]int64, 0, len(counts))
	for highest, count := range counts {
		buckets = append(buckets, [2]int64{highest, count})
	}
	slices.SortFunc(buckets, func(a, b [2]int64) int { return int(a[0] - b[0]) })
	return &latency{Achieved: achieved, Buckets: buckets}
}
