package train_test

import (
	"math"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/metatt"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/traintest"
)

// scatter draws an adapter's values: ΔW is zero at the start, and so are most gradients.
func scatter(a adapter.Adapter) {
	torch.NoGrad(func() {
		for _, p := range a.Parameters() {
			p.Tensor.Detach().CopyFrom(torch.Randn(torch.Float32, torch.CPU, p.Tensor.Shape()...).MulScalar(0.3))
		}
	})
}

// Gradients of micro-batches add up to that of their union, without dropout.
func TestGradientsOfMicroBatchesAddUp(t *testing.T) {
	for _, name := range []string{"cola", "mnli", "sts-b"} {
		s := traintest.Setup(t, map[string]int{name: 29})
		s.Tasks[0].Weight = 0.75
		s.Dropout, s.Options.Steps, s.Options.BatchSize, s.Options.Accumulate = encoder.Dropout{}, 1, 8, 4 // 8, 8, 8 and 5
		s.Hooks = []train.Hook{hook{begin: func(t0 *train.Trainer) error {
			torch.Seed(2)
			scatter(s.Adapter)
			step, err := t0.Source().Step(0)
			if err != nil {
				return err
			}
			gradients := func(micros []train.Micro) [][]float32 {
				t0.Optimizer().ZeroGradients()
				for _, m := range micros {
					t0.Objective().Backward(m)
				}
				var all [][]float32
				for i := range t0.Optimizer().Parameters() {
					all = append(all, torch.ToSlice[float32](t0.Optimizer().Gradient(i)))
				}
				return all
			}
			parts := gradients(step.Micros)
			var union []int
			for _, m := range step.Micros {
				union = append(union, m.Batch.Indices...)
			}
			whole := gradients([]train.Micro{{Batch: s.Tasks[0].Train.Batch(union), Share: 1, First: true}})
			if len(step.Micros) != 4 || len(union) != 29 {
				t.Errorf("%s: %d micro-batches of %d examples", name, len(step.Micros), len(union))
			}
			for i, p := range t0.Optimizer().Parameters() {
				var off, size float64
				for k := range whole[i] {
					off += math.Pow(float64(parts[i][k]-whole[i][k]), 2)
					size += math.Pow(float64(whole[i][k]), 2)
				}
				if size == 0 || math.Sqrt(off) > 1e-6*math.Sqrt(size) {
					t.Errorf("%s: the gradient of %s is off by %v of %v", name, p.Name, math.Sqrt(off), math.Sqrt(size))
				}
			}
			loss, all := t0.Objective().Loss(step.Micros), t0.Objective().Loss([]train.Micro{{Batch: s.Tasks[0].Train.Batch(union), Share: 1}})
			if math.Abs(loss-all) > 1e-6*all {
				t.Errorf("%s: a loss of %v in parts, of %v in one", name, loss, all)
			}
			return nil
		}}}
		traintest.Train(t, s)
	}
}

// A micro-batch trains its task's slice of a task mode, and no other task's.
func TestTasksHaveTheirSlices(t *testing.T) {
	s := traintest.Setup(t, map[string]int{"cola": 9, "mnli": 7, "sts-b": 8})
	spec := adapter.Spec{Architecture: s.Tasks[0].Model.(*encoder.Model).Architecture(), Targets: adapter.Kinds(), Rank: 2, Alpha: 1, Seed: 4, Device: torch.CPU}
	spec.Settings = metatt.Settings{TaskAfter: "layer"}
	for i := range s.Tasks {
		spec.Tasks, s.Tasks[i].Index = append(spec.Tasks, s.Tasks[i].Name), i
	}
	method, err := adapter.Lookup("metatt4d")
	if err != nil {
		t.Fatal(err)
	}
	if s.Adapter, err = method.New(spec); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Adapter.Free)
	s.Options.Steps = 1
	s.Hooks = []train.Hook{hook{begin: func(t0 *train.Trainer) error {
		scatter(s.Adapter)
		for k, task := range s.Tasks {
			t0.Optimizer().ZeroGradients()
			t0.Objective().Backward(train.Micro{Task: k, Batch: task.Train.Batch([]int{0, 3}), Share: 1, First: true})
			core := t0.Optimizer().Gradient(2) // in, layer, task: (2, 3, 2)
			for other := range s.Tasks {
				if size := core.Select(1, int64(other)).Norm().Item(); (size > 0) != (other == k) {
					t.Errorf("%s: the gradient of task %d's slice is %v", task.Name, other, size)
				}
			}
		}
		return nil
	}}}
	s.SaveAdapter = func(string) error { return nil }
	traintest.Train(t, s)
}
