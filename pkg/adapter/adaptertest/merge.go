package adaptertest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

// merged: the backbone with W + ΔWᵀ, summed in fp32 and rounded once, has the
// adapted model's logits, the same bit for bit when the adapter was saved and
// opened before; unmerging leaves no trace.
func (s suite) merged(t *testing.T) {
	for _, dtype := range []torch.DType{torch.Float32, torch.BFloat16} {
		t.Run(dtype.String(), func(t *testing.T) { s.mergedInto(t, dtype) })
	}
}

func (s suite) mergedInto(t *testing.T, dtype torch.DType) {
	model := s.newModel(t, dtype)
	a := s.adapter(t, model)
	if !isLinear(a) {
		t.Skip("is no update of weights")
	}
	torchtest.Compute(t, func() { disturb(a) })
	dir := t.TempDir()
	if err := adapter.Save(dir, a.Config(), adapter.State(a)); err != nil {
		t.Fatal(err)
	}
	// exact is a model of the same weights that computes in fp32, so that logits
	// tell of the merged weights and not of the rounding of activations.
	exact := s.newModel(t, torch.Float32)
	torchtest.Compute(t, func() { copyBackbone(exact, model) })
	onExact := reopened(t, dir, exact)

	torchtest.Compute(t, func() {
		var before []*torch.Tensor
		for _, w := range model.Backbone() {
			before = append(before, w.Tensor.Detach().Clone())
		}
		var want *torch.Tensor
		torch.NoGrad(func() { want = exact.Logits(onExact.Begin(adapter.Step{DType: torch.Float32, Tokens: exact.Tokens()})) })
		plain := logitBits(model)
		sums := sums(a, model)

		merged, err := adapter.Merge(a, model.Architecture(), model)
		if err != nil {
			t.Fatal(err)
		}
		for _, site := range sites(model) {
			weight, _ := model.Projection(site)
			if sum, adapted := sums[site]; adapted && !weight.Equal(sum.ToDType(dtype)) {
				t.Errorf("%s: the merged weight is not W + ΔWᵀ in fp32, rounded once", site)
			}
		}
		copyBackbone(exact, model)
		checkMergedLogits(t, exact, sums, want, dtype)

		again := s.newModel(t, dtype)
		reloaded, err := adapter.Merge(reopened(t, dir, again), again.Architecture(), again)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range model.Backbone() {
			if !again.Backbone()[i].Tensor.Equal(w.Tensor) {
				t.Errorf("%s differs where the adapter was saved and opened before it was merged", w.Name)
			}
		}
		reloaded.Free()

		for range 2 { // once too often is no harm
			merged.Unmerge()
		}
		for i, w := range model.Backbone() {
			if !w.Tensor.Detach().Equal(before[i]) {
				t.Errorf("%s is not what it was after unmerging", w.Name)
			}
		}
		if got := logitBits(model); !slices.Equal(got, plain) {
			t.Errorf("logits %v after unmerging, %v before merging", got, plain)
		}
	})
}

// sums is W + ΔWᵀ in fp32 of each adapted site.
func sums(a adapter.Adapter, model Model) map[adapter.Site]*torch.Tensor {
	sums := map[adapter.Site]*torch.Tensor{}
	// Without recording, libtorch may order a product's terms in another way.
	torch.NoGrad(func() {
		for _, site := range sites(model) {
			if delta := a.Delta(site); delta != nil {
				weight, _ := model.Projection(site)
				sums[site] = weight.ToDType(torch.Float32).Add(delta.T())
			}
		}
	})
	return sums
}

// checkMergedLogits holds the logits of a model of fp32 with the merged weights to
// those of backbone and adapter.
//
// In fp32 the bound is the default. A bf16 number has 8 significant bits: rounding
// to the nearest moves w by at most u |w|, u = 2⁻⁸. Every merged weight is rounded
// once and nothing else is, so that to first order a logit z moves by
//
//	|δz| ≤ Σ |∂z/∂w| |δw| ≤ u Σ |∂z/∂w| |w|
//
// over the merged weights, with the gradients that autograd has at them. That all
// errors conspire is so far from what rounding does (they add up like the root of
// their number) that the second order, u times smaller than the first, has room.
func checkMergedLogits(t *testing.T, exact Model, sums map[adapter.Site]*torch.Tensor, want *torch.Tensor, dtype torch.DType) {
	t.Helper()
	var weights, sizes []*torch.Tensor
	for _, site := range sites(exact) { // in a fixed order
		if sum, adapted := sums[site]; adapted {
			weight, _ := exact.Projection(site)
			weights, sizes = append(weights, weight.SetRequiresGrad(true)), append(sizes, sum.Abs())
		}
	}
	if dtype == torch.Float32 {
		near(t, "merged logits", exact.Logits(nil), want)
		return
	}
	const u = 1.0 / (1 << 8)
	wanted := torchtest.Values(want)
	for i := range wanted {
		z := exact.Logits(nil).Reshape(-1).Select(0, int64(i)) // anew: a gradient uses its graph up
		var bound float64
		for k, g := range torch.Gradients(z, weights) {
			bound += u * g.Abs().Mul(sizes[k]).Sum().Item()
		}
		bound += torchtest.Default * want.Abs().Max().Item() // what fp32 arithmetic leaves
		if got := z.Item(); !(math.Abs(got-wanted[i]) <= bound) {
			t.Errorf("logit %d: merged %g, adapted %g; rounding the weights once explains %g", i, got, wanted[i], bound)
		}
	}
}

// copyBackbone gives one model the other's weights.
func copyBackbone(to, from Model) {
	torch.NoGrad(func() {
		source := from.Backbone()
		for i, w := range to.Backbone() {
			if w.Name != source[i].Name {
				panic(fmt.Sprintf("%s and %s: not models of one kind", w.Name, source[i].Name))
			}
			w.Tensor.CopyFrom(source[i].Tensor)
		}
	})
}

// logitBits is the logits without an adapter.
func logitBits(model Model) (values []float32) {
	torch.NoGrad(func() { values = torch.ToSlice[float32](model.Logits(nil)) })
	return values
}

// reopened is the adapter saved in dir, on a model; t frees it.
func reopened(t *testing.T, dir string, model Model) adapter.Adapter {
	t.Helper()
	saved := read(t, dir)
	a, err := saved.Open(model.Architecture(), torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Free)
	bind(t, a, model)
	if err := saved.CheckAllTaken(); err != nil {
		t.Error(err)
	}
	return a
}
