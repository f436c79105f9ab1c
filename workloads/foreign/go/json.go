package main

import (
	"encoding/json"
	"strconv"
)

type record struct {
	ID    int64    `json:"id"`
	Name  string   `json:"name"`
	Tags  []string `json:"tags"`
	Value int64    `json:"value"`
	On    bool     `json:"on"`
}

func documents(o order) func(int64) int64 {
	count := o.get("records_count")
	return func(index int64) int64 {
		document := make([]record, count)
		for j := range count {
			document[j] = record{
				ID: j, Name: "record " + strconv.FormatInt(j, 10), Tags: []string{"a", "b", "c"},
				Value: lehmer(index*count+j, 1), On: j%2 == 0,
			}
		}
		text, err := json.Marshal(document)
		if err != nil {
			panic(err) // Cannot happen: plain values can always be written.
		}
		var parsed []record
		if err := json.Unmarshal(text, &parsed); err != nil {
			panic(err) // Cannot happen: json has just written it.
		}
		var total int64
		for _, r := range parsed {
			total += r.ID + r.Value%1000 + int64(len(r.Tags)) + int64(len(r.Name))
			if r.On {
				total++
			}
		}
		return total
	}
}
