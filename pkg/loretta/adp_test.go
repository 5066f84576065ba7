package loretta_test

import (
	"fmt"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/adapter/factored"
	_ "github.com/metatt/metatt/pkg/loretta"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

// entries is a tensor train of modes n_1 … n_d as a matrix with the given number of
// rows, each entry the product of its slices: nothing of pkg/tt.
func entries(cores []*torch.Tensor, layer int, rows int64) *torch.Tensor {
	var fill func(row *torch.Tensor, cores []*torch.Tensor) []*torch.Tensor
	fill = func(row *torch.Tensor, cores []*torch.Tensor) []*torch.Tensor {
		if len(cores) == 0 {
			return []*torch.Tensor{row.Reshape(1)}
		}
		var all []*torch.Tensor
		for n := range cores[0].Size(2) {
			all = append(all, fill(row.MatMul(cores[0].Select(0, int64(layer)).Select(1, n)), cores[1:])...)
		}
		return all
	}
	flat := torch.Cat(0, fill(torch.Ones(torch.Float32, torch.CPU, 1, 1), cores)...)
	return flat.Reshape(rows, -1)
}

// The pass is y + α (ReLU(y V + c) U + d) behind both sublayers, with dense V and
// U made entry by entry: values, and gradients of y and of all that is trained.
func TestAdpIsItsEquation(t *testing.T) {
	const alpha = 0.7
	for _, c := range []struct {
		width      int64
		rank, tt   int
		wide, thin int // cores of the width and of the bottleneck
	}{
		{6, 4, 2, 2, 2}, {12, 6, 2, 3, 2}, {7, 5, 5, 1, 1}, {12, 12, 0, 3, 2}, {10, 1, 0, 2, 1},
	} {
		t.Run(fmt.Sprintf("width %d, bottleneck %d", c.width, c.rank), func(t *testing.T) {
			model := adapter.Architecture{ModelType: "bert", Hidden: c.width, Layers: 3, Heads: 1, Intermediate: 17}
			method, err := adapter.Lookup("loretta-adp")
			if err != nil {
				t.Fatal(err)
			}
			a, err := method.New(adapter.Spec{Architecture: model, Rank: c.rank, Settings: factored.TensorTrainSettings{TTRank: c.tt}, Alpha: alpha, Seed: 1, Device: torch.CPU})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Free()
			torchtest.Compute(t, func() {
				named := map[string]*torch.Tensor{}
				torch.Seed(3)
				torch.NoGrad(func() {
					for _, p := range a.Parameters() {
						named[p.Name] = p.Tensor
						p.Tensor.CopyFrom(torch.Randn(torch.Float32, torch.CPU, p.Tensor.Shape()...).MulScalar(0.6))
					}
				})
				cores := func(name string) (all []*torch.Tensor) {
					for k := range c.wide + c.thin {
						core, ok := named[fmt.Sprintf("%s.cores.%d", name, k)]
						if !ok {
							t.Fatalf("no core %d of %s", k, name)
						}
						all = append(all, core)
					}
					return all
				}
				pass := a.Begin(adapter.Step{DType: torch.Float32, Training: true}).(adapter.SublayerPass)
				for _, after := range []adapter.Kind{adapter.Output, adapter.FFNDown} {
					const layer = 2
					y := torch.Randn(torch.Float32, torch.CPU, 5, c.width).SetRequiresGrad(true)
					name := after.String()
					bias := func(which string) *torch.Tensor { return named[name+which].Select(0, layer) }
					h := y.MatMul(entries(cores(name+".down"), layer, c.width)).Add(bias(".down.bias")).ReLU()
					update := h.MatMul(entries(cores(name+".up"), layer, int64(c.rank))).Add(bias(".up.bias"))
					want := y.Add(update.MulScalar(alpha))
					got := pass.AfterSublayer(layer, after, y)
					torchtest.Close(t, name, torchtest.Values(got), torchtest.Values(want), torchtest.Default)

					weights := torch.Randn(torch.Float32, torch.CPU, 5, c.width)
					inputs, names := []*torch.Tensor{y}, []string{"y"}
					for _, p := range a.Parameters() {
						inputs, names = append(inputs, p.Tensor), append(names, p.Name)
					}
					theirs := torch.Gradients(want.Mul(weights).Sum(), inputs)
					for i, g := range torch.Gradients(got.Mul(weights).Sum(), inputs) {
						// Terms of a gradient cancel: the bound is that of parity.
						torchtest.Close(t, name+": gradient of "+names[i], torchtest.Values(g), torchtest.Values(theirs[i]), 1e-4)
					}
				}
			})
		})
	}
}
