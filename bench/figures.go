package main

import (
	"maps"
	"slices"
	"strings"
)

// figures are what a round of one contender came to, by name.
type figures map[string]float64

// Names of figures that several scenarios have. A name says its unit.
const (
	rate    = "a second"
	cpu     = "CPU µs each"
	elapsed = "µs each"
	p50     = "p50 ms"
	p99     = "p99 ms"
	done    = "done" // not shown
)

// series are a contender's figures of all its rounds.
type series struct {
	Contender string               `json:"contender"`
	Rounds    map[string][]float64 `json:"rounds"` // by name of the figure
}

func (s *series) add(found figures) {
	for name, value := range found {
		s.Rounds[name] = append(s.Rounds[name], value)
	}
}

// median is the middle of a figure's rounds; zero if it has none.
func (s *series) median(figure string) float64 {
	_, middle, _ := spread(s.Rounds[figure])
	return middle
}

func spread(values []float64) (least, middle, most float64) {
	if len(values) == 0 {
		return 0, 0, 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[0], sorted[len(sorted)/2], sorted[len(sorted)-1]
}

// names are the figures that any of them has, in the order in which a table shows them.
func names(all []*series) []string {
	seen := map[string]bool{}
	for _, s := range all {
		for name := range s.Rounds {
			seen[name] = true
		}
	}
	delete(seen, done)
	place := func(name string) int {
		if i := slices.Index([]string{elapsed, cpu, rate, p50, p99}, name); i >= 0 {
			return i
		}
		return len(seen) + 5
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b string) int {
		if byPlace := place(a) - place(b); byPlace != 0 {
			return byPlace
		}
		return strings.Compare(a, b)
	})
}
