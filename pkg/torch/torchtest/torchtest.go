// Package torchtest is what tests of computations share.
package torchtest

import (
	"math"
	"testing"

	"github.com/metatt/metatt/pkg/torch"
)

// Compute runs f inside [torch.Do]; an error ends the test.
func Compute(t *testing.T, f func()) {
	t.Helper()
	if err := torch.Do(func() error { f(); return nil }); err != nil {
		t.Fatal(err)
	}
}

// Values is the elements of a tensor, row by row.
func Values(t *torch.Tensor) []float64 {
	return torch.ToSlice[float64](t.Detach().ToDType(torch.Float64).Contiguous())
}

// Default is the tolerance for fp32: of the largest element.
const Default = 1e-5

// Close is equality within tolerance of want's largest element.
func Close(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	var scale, worst float64
	for i := range min(len(got), len(want)) {
		scale, worst = max(scale, math.Abs(want[i])), max(worst, math.Abs(got[i]-want[i]))
	}
	if len(got) != len(want) || !(worst <= tolerance*scale) {
		t.Errorf("%s: differs by %.2g, the largest of %d elements (of %d) is %.2g", what, worst, len(got), len(want), scale)
	}
}
