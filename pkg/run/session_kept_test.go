package run

import "github.com/metatt/metatt/pkg/adapter"

// KeptWeights are the tensors of each backbone that a session keeps.
func (s *Session) KeptWeights() (all [][]adapter.Parameter) {
	for _, b := range s.backbones {
		all = append(all, b.Weights())
	}
	return all
}

// KeptSets is the number of sets that a session keeps.
func (s *Session) KeptSets() int { return len(s.sets) }
