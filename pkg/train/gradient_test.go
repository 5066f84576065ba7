package train_test

import (
	"math"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train/traintest"
)

// With dropout the loss is a function of the parameters, as its masks are the examples':
// its derivative in a random direction is that of autograd.
func TestGradientsOfDroppedPasses(t *testing.T) {
	for name, drop := range map[string]encoder.Dropout{
		"none": {}, "hidden": {Hidden: 0.3}, "attention": {Attention: 0.3}, "head": {Classifier: 0.3}, "all": {Hidden: 0.1, Attention: 0.1, Classifier: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			s := traintest.Setup(t, map[string]int{"mrpc": 24})
			task := s.Tasks[0]
			b := task.Train.Batch([]int{3, 0, 17, 8, 21})
			in := encoder.Input{IDs: b.IDs, TypeIDs: b.TypeIDs, Offsets: b.Offsets, Keys: []int32{3, 0, 17, 8, 21}, Seed: 99}
			err := torch.Do(func() error {
				var leaves []*torch.Tensor
				torch.Seed(5)
				torch.NoGrad(func() {
					for _, p := range append(s.Adapter.Parameters(), task.Model.Head()...) {
						p.Tensor.AddInPlace(torch.Randn(torch.Float32, torch.CPU, p.Tensor.Shape()...).MulScalar(0.3))
						leaves = append(leaves, p.Tensor.SetRequiresGrad(true))
					}
				})
				loss := func() *torch.Tensor {
					batch := task.Model.NewBatch(in)
					pass := s.Adapter.Begin(adapter.Step{DType: torch.Float32, Training: true, Tokens: int64(batch.Tokens), Dropout: batch.Dropout})
					return task.Model.Logits(batch, pass, drop).CrossEntropy(torch.FromSlice(b.Labels))
				}
				gradients := torch.Gradients(loss(), leaves)
				for k, leaf := range leaves {
					torch.NoGrad(func() {
						direction := torch.Randn(torch.Float32, torch.CPU, leaf.Shape()...)
						direction = direction.MulScalar(1 / direction.Norm().Item())
						want := gradients[k].Mul(direction).Sum().Item()
						const h = 1e-3
						leaf.AddInPlace(direction.MulScalar(h))
						up := loss().Item()
						leaf.AddInPlace(direction.MulScalar(-2 * h))
						down := loss().Item()
						leaf.AddInPlace(direction.MulScalar(h))
						if got := (up - down) / (2 * h); math.Abs(got-want) > 2e-2*math.Abs(want)+2e-4 {
							t.Errorf("parameter %d: the loss rises by %v, autograd says %v", k, got, want)
						}
					})
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
