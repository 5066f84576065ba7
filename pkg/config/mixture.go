package config

import (
	"fmt"
	"math"
	"strconv"
)

// Mixture is how a run of several tasks draws the task of a batch: in turn, or by chance, a task of n examples with a
// probability in proportion to n^(1/Temperature), as T5 does.
type Mixture struct {
	RoundRobin  bool
	Temperature float64 // 1: by size; +Inf: all tasks alike
}

// bySize is the mixture where none is asked for.
var bySize = Mixture{Temperature: 1}

// mixtures are the words for the mixtures that have one.
var mixtures = []struct {
	name string
	Mixture
}{
	{"size", bySize}, {"sqrt", Mixture{Temperature: 2}}, {"uniform", Mixture{Temperature: math.Inf(1)}},
	{"round-robin", Mixture{RoundRobin: true}},
}

// String is the form that a configuration file holds: a word or the temperature.
func (m Mixture) String() string {
	for _, named := range mixtures {
		if named.Mixture == m {
			return named.name
		}
	}
	return strconv.FormatFloat(m.Temperature, 'g', -1, 64)
}

// MarshalYAML keeps a temperature a number.
func (m Mixture) MarshalYAML() (any, error) {
	if text := m.String(); text != strconv.FormatFloat(m.Temperature, 'g', -1, 64) {
		return text, nil
	}
	return m.Temperature, nil
}

func parseMixture(text string) (Mixture, string) {
	for _, named := range mixtures {
		if named.name == text {
			return named.Mixture, ""
		}
	}
	temperature, err := strconv.ParseFloat(text, 64)
	if err != nil || !(temperature >= 1) || math.IsInf(temperature, 0) {
		return Mixture{}, fmt.Sprintf("%s is not size, sqrt, uniform, round-robin or a temperature >= 1", quote(text))
	}
	return Mixture{Temperature: temperature}, ""
}
