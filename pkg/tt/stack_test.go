package tt_test

import (
	"math"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

func TestFactors(t *testing.T) {
	for n, want := range map[int64][]int64{
		1: {1}, 2: {2}, 7: {7}, 769: {769}, 6: {2, 3}, 10: {2, 5}, 49: {7, 7}, 24: {2, 3, 4}, 60: {3, 4, 5},
		384: {6, 8, 8}, 768: {8, 8, 12}, 1024: {8, 8, 16}, 1536: {8, 12, 16}, 3072: {12, 16, 16}, 4096: {16, 16, 16},
	} {
		if got := tt.Factors(n); !slices.Equal(got, want) {
			t.Errorf("Factors(%d) = %v, want %v", n, got, want)
		}
	}
}

func TestLargestRank(t *testing.T) {
	for _, c := range []struct {
		modes []int64
		want  int64
	}{
		{[]int64{8, 8, 12, 8}, 8}, {[]int64{6, 2}, 2}, {[]int64{3, 100, 7}, 3}, {[]int64{12, 8, 8, 8, 8, 12}, 12},
		{[]int64{1, 9}, 1}, {[]int64{1 << 39, 1 << 39, 1 << 39}, 1 << 39},
	} {
		if got := tt.LargestRank(c.modes); got != c.want {
			t.Errorf("LargestRank(%v) = %d, want %d", c.modes, got, c.want)
		}
	}
}

// Every entry of a contracted train is the sum over all bonds, for open bonds
// at the ends and another train in each layer of the stack.
func TestContract(t *testing.T) {
	shapes := [][]int64{{2, 4, 3, 5}, {2, 5, 2, 1}, {2, 1, 7, 2}, {2, 2, 1, 3}}
	err := torch.Do(func() error {
		torch.Seed(3)
		var cores []*torch.Tensor
		var v [][]float64
		for _, s := range shapes {
			c := torch.Randn(torch.Float64, torch.CPU, s...)
			cores, v = append(cores, c), append(v, torch.ToSlice[float64](c))
		}
		product := tt.Contract(cores)
		if got, want := product.Shape(), []int64{2, 4 * 3 * 2 * 7, 3}; !slices.Equal(got, want) {
			t.Fatalf("shape %v, want %v", got, want)
		}
		got := torch.ToSlice[float64](product.Contiguous())
		at := func(k, s, i, n, j int) float64 {
			shape := shapes[k]
			return v[k][((s*int(shape[1])+i)*int(shape[2])+n)*int(shape[3])+j]
		}
		place := 0
		for s := range 2 {
			for i := range 4 {
				for n0 := range 3 {
					for n1 := range 2 {
						for n2 := range 7 {
							for j := range 3 {
								var want float64
								for a := range 5 {
									for c := range 2 {
										want += at(0, s, i, n0, a) * at(1, s, a, n1, 0) * at(2, s, 0, n2, c) * at(3, s, c, 0, j)
									}
								}
								if math.Abs(got[place]-want) > 1e-12 {
									t.Fatalf("entry %d is %v, want %v", place, got[place], want)
								}
								place++
							}
						}
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
