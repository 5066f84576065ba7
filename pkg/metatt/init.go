package metatt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter/factored"
	"github.com/metatt/metatt/pkg/torch"
)

// defaultInit is the start of cores with those modes where none is asked for; without ranks, of
// ranks that are all the same. Where the ranks of two neighbours would leave components without
// a gradient, the core between them is random and semi-orthogonal in the place of an identity.
//
// Without a head mode it is the paper's: the input core is zero, the others are identities.
// With one the output core is zero and the input core random and orthonormal, as LoRA begins:
// from the paper's start MetaTT-5D fails at rates that it trains at from this one
// (experiments/glue-minilm).
func defaultInit(modes []string, ranks []int64) string {
	starts := slices.Repeat([]start{identity}, len(modes))
	last := len(modes) - 1
	fromInput := slices.Contains(modes, modeHead)
	if fromInput {
		starts[0], starts[last] = orthogonal, zero
	} else {
		starts[0] = zero
	}
	for i := 1; i < last && ranks != nil; i++ {
		if left, right := ranks[i-1], ranks[i]; fromInput && right > left || !fromInput && left > right {
			starts[i] = orthogonal
		}
	}
	return joinStarts(starts)
}

// normalSigma is the standard deviation of a "no" core.
const normalSigma = 0.2

// start is how one core begins.
type start string

const (
	zero       start = "ze" // all zeros; exactly one core of a tensor train
	identity   start = "id" // every slice the rectangular identity
	normal     start = "no" // independent N(0, 0.2²)
	orthogonal start = "or" // a random semi-orthogonal matrix per slice
)

// parseInit reads one start for each core of a tensor train, joined by "-".
func parseInit(text string, cores int) ([]start, error) {
	starts, err := parseStarts(text)
	if err == nil {
		err = checkStarts(starts, cores, "the tensor train")
	}
	return starts, err
}

// parseStarts reads starts, joined by "-", of however many cores.
func parseStarts(text string) (starts []start, err error) {
	for part := range strings.SplitSeq(text, "-") {
		s := start(strings.ToLower(part))
		if !slices.Contains([]start{zero, identity, normal, orthogonal}, s) {
			return nil, fmt.Errorf("%q is no start of a core; legal: ze, id, no, or, joined by -", part)
		}
		starts = append(starts, s)
	}
	return starts, nil
}

// checkStarts takes starts of which exactly one is zero: with none the update
// would not start at zero, with two no gradient would reach any core. whole is
// what has the cores.
func checkStarts(starts []start, cores int, whole string) error {
	zeros := 0
	for _, s := range starts {
		if s == zero {
			zeros++
		}
	}
	switch {
	case len(starts) != cores:
		return fmt.Errorf("%q is for %d cores; %s has %d", joinStarts(starts), len(starts), whole, cores)
	case zeros != 1:
		return fmt.Errorf("%q has %d cores at ze; exactly one must be, or nothing is learned from a zero update", joinStarts(starts), zeros)
	}
	return nil
}

// checkReachable fails when a component of a bond can never get a gradient.
//
// An entry (i, j) of a core has a gradient iff component i is reached from the
// left end and component j from the right end through non-zero entries; it is
// non-zero from then on. Iterating that from the start's pattern tells which
// components ever take part: with rectangular identities, those beyond a
// narrower bond do not.
func checkReachable(starts []start, ranks []int64) error {
	d := len(starts)
	bound := append(append([]int64{1}, ranks...), 1) // bound[b]: components left of core b
	// left[b] (right[b]) says how many leading components of bond b are reached
	// from that end. Identities connect i to i and the dense starts connect all
	// to all, so what is reached is always a leading range.
	left, right := make([]int64, d+1), make([]int64, d+1)
	left[0], right[d] = 1, 1
	through := func(c int, reached, size int64) int64 {
		switch {
		case reached == 0 || starts[c] == zero:
			return 0
		case starts[c] == identity && c > 0 && c < d-1:
			return min(reached, size)
		}
		return size // dense, or an outer identity: its mode is wider than any bond
	}
	for changed := true; changed; {
		changed = false
		grow := func(reached *int64, to int64) {
			if to > *reached {
				*reached, changed = to, true
			}
		}
		for c := range d {
			grow(&left[c+1], through(c, left[c], bound[c+1]))
			k := d - 1 - c
			grow(&right[k], through(k, right[k+1], bound[k]))
		}
		for c := range d {
			// The block that is reached from both sides has a gradient, fills,
			// and then connects its sides.
			if left[c] > 0 && right[c+1] > 0 {
				grow(&left[c+1], right[c+1])
				grow(&right[c], left[c])
			}
		}
	}
	for b := 1; b < d; b++ {
		if reached := min(left[b], right[b]); reached < bound[b] {
			return fmt.Errorf("init %s with ranks %v: only %d of the %d components of bond %d can ever get a gradient; use no or or instead of id next to the narrower bond",
				joinStarts(starts), ranks, reached, bound[b], b)
		}
	}
	return nil
}

func joinStarts(starts []start) string {
	parts := make([]string, len(starts))
	for i, s := range starts {
		parts[i] = string(s)
	}
	return strings.Join(parts, "-")
}

// makeCore is a core (left, n, right) in fp32 on the CPU, drawn from
// libtorch's default generator. The outer cores are one matrix (n, right) or
// (left, n); an inner core is n slices (left, right).
func makeCore(s start, left, n, right int64, outer bool) *torch.Tensor {
	f32, cpu := torch.Float32, torch.CPU
	switch {
	case outer && left == 1:
		return makeMatrix(s, n, right).Reshape(left, n, right)
	case outer:
		return makeMatrix(s, left, n).Reshape(left, n, right)
	}
	if s == zero {
		return torch.Zeros(f32, cpu, left, n, right)
	}
	matrices := make([]*torch.Tensor, n)
	for i := range matrices {
		matrices[i] = makeMatrix(s, left, right)
	}
	return torch.Stack(1, matrices...)
}

func makeMatrix(s start, rows, columns int64) *torch.Tensor {
	f32, cpu := torch.Float32, torch.CPU
	switch s {
	case zero:
		return torch.Zeros(f32, cpu, rows, columns)
	case identity:
		return torch.Eye(f32, cpu, rows, columns)
	case normal:
		return torch.Randn(f32, cpu, rows, columns).MulScalar(normalSigma)
	}
	return factored.Orthogonal([]int64{rows, columns})
}
