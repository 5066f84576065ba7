package torch_test

import (
	"testing"

	"github.com/sugarme/gotch/libtch"

	"github.com/metatt/metatt/pkg/torch"
)

// BenchmarkAdd compares the addition of two tiny tensors, the result freed,
// through this package and through gotch's raw call. What the wrapper adds
// (owner, error check, scope) must stay below 1 µs.
func BenchmarkAdd(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		var x, sum libtch.Ctensor
		libtch.AtgOnes(&x, []int64{2}, 1, int32(torch.Float32), int32(torch.CPU))
		for b.Loop() {
			libtch.AtgAdd(&sum, x, x)
			libtch.AtFree(sum)
		}
		libtch.AtFree(x)
	})
	b.Run("torch", func(b *testing.B) {
		if err := torch.Do(func() error {
			x := torch.Ones(torch.Float32, torch.CPU, 2)
			for b.Loop() {
				x.Add(x).Free()
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("torch in a scope", func(b *testing.B) {
		if err := torch.Do(func() error {
			x := torch.Ones(torch.Float32, torch.CPU, 2)
			for b.Loop() {
				torch.Scoped(func() { x.Add(x) })
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkDropout compares dropout with libtorch's bernoulli_, which draws a
// double for each decision, on activations of a small batch.
func BenchmarkDropout(b *testing.B) {
	const tokens, width = 2048, 384
	b.Run("torch", func(b *testing.B) {
		if err := torch.Do(func() error {
			x := torch.Ones(torch.Float32, torch.CPU, tokens, width)
			for b.Loop() {
				torch.Scoped(func() { x.Dropout(0.1) })
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("libtorch", func(b *testing.B) {
		var x libtch.Ctensor
		libtch.AtgOnes(&x, []int64{tokens, width}, 2, int32(torch.Float32), int32(torch.CPU))
		for b.Loop() {
			var y libtch.Ctensor
			libtch.AtgDropout(&y, x, 0.1, 1)
			libtch.AtFree(y)
		}
		libtch.AtFree(x)
	})
}
