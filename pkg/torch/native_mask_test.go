package torch

import (
	"math"
	"slices"
	"testing"
)

var probabilities = []float64{0, 1e-4, 0.1, 0.5, 0.999}

func TestNativeMask(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		for _, columns := range []int{1, 7, 8, 9, 31, 64, 100, 129, 400} {
			for _, head := range []int{0, 3} {
				for _, p := range probabilities {
					s := oddLengths(p)
					got := ToSlice[uint8](nativeMask(s.rows(), int64(columns), int64(head), s.drop()))
					if !slices.Equal(got, maskOf(s.lengths, s.keys, columns, head, s.seed, s.site, s.threshold())) {
						t.Fatalf("%d columns, head %d, p %v: another mask", columns, head, p)
					}
				}
			}
		}
	})
}

// The share of what is dropped is p, and what is a function of one number alone differs
// between two of them as independent decisions do.
func TestNativeMaskIsRandom(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		const columns, p = 384, 0.1
		base := packing{lengths: []int{500, 500}, keys: []int32{1, 2}, seed: 3, site: 4, p: p}
		mask := func(change func(*packing), head int64) []uint8 {
			s := base
			s.keys = slices.Clone(base.keys)
			change(&s)
			return ToSlice[uint8](nativeMask(1000, columns, head, s.drop()))
		}
		first := mask(func(*packing) {}, 0)
		n := float64(len(first))
		within := func(what string, share, want float64) {
			if sigma := math.Sqrt(want * (1 - want) / n); math.Abs(share-want) > 5*sigma {
				t.Errorf("%s: %v, want %v ± %.2g", what, share, want, sigma)
			}
		}
		dropped := 0
		for _, kept := range first {
			dropped += 1 - int(kept)
		}
		within("dropped", float64(dropped)/n, math.Round(p*65536)/65536)
		for what, other := range map[string][]uint8{
			"seed":       mask(func(s *packing) { s.seed++ }, 0),
			"high seed":  mask(func(s *packing) { s.seed += 1 << 32 }, 0),
			"site":       mask(func(s *packing) { s.site++ }, 0),
			"key":        mask(func(s *packing) { s.keys[0], s.keys[1] = 8, 9 }, 0),
			"head":       mask(func(*packing) {}, 1),
			"next row":   append(slices.Clone(first[columns:]), first[:columns]...),
			"next eight": append(slices.Clone(first[8:]), first[:8]...),
		} {
			both := 0
			for i := range first {
				both += int(1-first[i]) * int(1-other[i])
			}
			within("dropped with another "+what+" too", float64(both)/n, p*p)
		}
	})
}
