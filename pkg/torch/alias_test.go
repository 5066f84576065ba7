package torch_test

import (
	"testing"

	"github.com/metatt/metatt/pkg/torch"
)

// A leaf whose memory and gradient lie in buffers is the leaf that it was.
func TestLeavesInBuffers(t *testing.T) {
	compute(t, func() {
		for _, requires := range []bool{true, false} {
			a := torch.FromSlice([]float32{1, 2, 3, 4, 5, 6}, 3, 2).T() // (2, 3), not contiguous
			b := torch.FromSlice([]float32{7}).Reshape()
			var leaves []*torch.Tensor
			torch.NoGrad(func() {
				leaves = []*torch.Tensor{a.Detach().SetRequiresGrad(requires), b.Clone().SetRequiresGrad(requires)}
			})
			values, gradients := torch.Zeros(torch.Float32, torch.CPU, 9), torch.Ones(torch.Float32, torch.CPU, 9)
			leaves[0].MoveInto(values, 1)
			leaves[1].MoveInto(values, 8)
			near(t, "values", torch.ToSlice[float32](values), 0, 1, 3, 5, 2, 4, 6, 0, 7)
			near(t, "leaf", torch.ToSlice[float32](leaves[0].Detach()), 1, 3, 5, 2, 4, 6)
			torch.NoGrad(func() { values.MulScalarInPlace(2) })
			near(t, "leaf after", torch.ToSlice[float32](leaves[0].Detach()), 2, 6, 10, 4, 8, 12)
			if leaves[0].RequiresGrad() != requires {
				t.Error("requires_grad was lost")
			}
			if !requires {
				continue
			}
			for i, offset := range []int64{1, 8} {
				leaves[i].GradientIn(gradients, offset)
			}
			near(t, "at first", torch.ToSlice[float32](gradients), 1, 0, 0, 0, 0, 0, 0, 1, 0)
			for range 2 { // twice: it adds up
				leaves[0].Square().Sum().Add(leaves[1]).Backward()
			}
			near(t, "gradients", torch.ToSlice[float32](gradients), 1, 8, 24, 40, 16, 32, 48, 1, 2)
			leaves[1].SetRequiresGrad(false)
			leaves[0].Sum().Add(leaves[1]).Backward()
			near(t, "one frozen", torch.ToSlice[float32](gradients), 1, 9, 25, 41, 17, 33, 49, 1, 2)
			leaves[1].SetRequiresGrad(true)
			leaves[1].MulScalar(4).Backward()
			near(t, "thawed", torch.ToSlice[float32](gradients), 1, 9, 25, 41, 17, 33, 49, 1, 6)
			half := leaves[0].Detach().ToDType(torch.BFloat16).SetRequiresGrad(true)
			in := torch.Zeros(torch.BFloat16, torch.CPU, 6)
			half.GradientIn(in, 0)
			half.Square().Sum().Backward()
			near(t, "bf16", torch.ToSlice[float32](in.ToDType(torch.Float32)), 4, 12, 20, 8, 16, 24)
		}
	})
	for _, wrong := range []func(){
		func() {
			torch.Zeros(torch.Float32, torch.CPU, 3).MoveInto(torch.Zeros(torch.Float32, torch.CPU, 4), 2)
		},
		func() {
			torch.Zeros(torch.BFloat16, torch.CPU, 3).MoveInto(torch.Zeros(torch.Float32, torch.CPU, 4), 0)
		},
		func() { torch.Zeros(torch.Float32, torch.CPU, 3).Backward() },
	} {
		if err := torch.Do(func() error { wrong(); return nil }); err == nil {
			t.Error("what does not fit was taken")
		}
	}
}

// A buffer lives as long as what lies in it, and the other way round.
func TestBuffersOutliveTheirLeaves(t *testing.T) {
	compute(t, func() {
		leaf := torch.FromSlice([]float32{1, 2})
		buffer := torch.Zeros(torch.Float32, torch.CPU, 1<<20)
		leaf.MoveInto(buffer, 5)
		buffer.Free()
		near(t, "leaf", torch.ToSlice[float32](leaf), 1, 2)
	})
}
