// Package parallel is several processes that make one run together, on one machine or on
// many: sums and broadcasts by MPI, a sign of life from each, and an end of all where one is
// lost. MPI is loaded when a launcher has started several processes, and needed by no other.
package parallel

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Group is processes that make one run together. Each calls the same methods in the same
// order; what says in a message what is waited for.
type Group interface {
	// Rank is this process's place, from 0; that of rank 0 owns files and talks.
	Rank() int
	// Size is how many there are.
	Size() int
	// Sum makes values the sums over all processes, element by element, the same bits in each.
	Sum(what string, values []float32) error
	// Broadcast returns in each process what rank 0 gave; what others give is not looked at.
	Broadcast(what string, data []byte) ([]byte, error)
	// Local is this process's place among those on its machine, and how many these are.
	Local() (rank, size int)
}

// Leads reports whether this process owns files and talks: rank 0 does, or one alone (nil).
func Leads(g Group) bool { return g == nil || g.Rank() == 0 }

// Once computes in the first process of a group what all of them then have; one alone (nil)
// computes.
func Once(g Group, what string, compute func() ([]byte, error)) ([]byte, error) {
	var made []byte
	if Leads(g) {
		var err error
		if made, err = compute(); err != nil || g == nil {
			return made, err
		}
	}
	return g.Broadcast(what, made)
}

// Gather is what each process of a group gives, by rank. All give as many bytes.
func Gather(g Group, what string, own []byte) ([][]byte, error) {
	sums := make([]float32, g.Size()*len(own)) // of which each has one term
	for i, b := range own {
		sums[g.Rank()*len(own)+i] = float32(b)
	}
	if err := g.Sum(what, sums); err != nil {
		return nil, err
	}
	all := make([][]byte, g.Size())
	for rank := range all {
		for _, b := range sums[rank*len(own) : (rank+1)*len(own)] {
			all[rank] = append(all[rank], byte(b))
		}
	}
	return all, nil
}

// Agree is an error, the same in all processes, where the numbers of one are not those of
// rank 0. What says what they are of, in the plural.
func Agree(g Group, what string, numbers ...uint32) error {
	if g == nil {
		return nil
	}
	own := make([]byte, 0, 4*len(numbers))
	for _, n := range numbers {
		own = binary.LittleEndian.AppendUint32(own, n)
	}
	first, err := g.Broadcast(what, own)
	if err != nil {
		return err
	}
	differs := make([]float32, g.Size())
	if !slices.Equal(own, first) {
		differs[g.Rank()] = 1
	}
	if err := g.Sum(what, differs); err != nil {
		return err
	}
	var others []string
	for rank, d := range differs {
		if d != 0 {
			others = append(others, fmt.Sprint(rank))
		}
	}
	if len(others) == 0 {
		return nil
	}
	return fmt.Errorf("%s of rank %s are not those of rank 0: the processes of a run need the same program, files, threads and kind of CPU", what, strings.Join(others, ", "))
}
