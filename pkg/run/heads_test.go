package run_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/torch"
)

// One adapter with two tasks serves both on one backbone: a model for each, with the
// task's head, computes what the adapter does that was opened for that task alone.
func TestHeadsOfSeveralTasksOnOneBackbone(t *testing.T) {
	first := firstTask(t, "adapter.task_after=layer")
	summary, err := run.Train(t.Context(), tiny(t, appended(t, first)...))
	if err != nil {
		t.Fatal(err)
	}
	saved, err := adapter.Read(filepath.Join(summary.RunDir, "adapter", "last"))
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	tasks := saved.Config.Tasks
	if len(tasks) != 2 {
		t.Fatalf("the adapter has the tasks %v", tasks)
	}
	in := encoder.Input{IDs: []int32{2, 9, 28, 4, 3, 2, 11, 3}, TypeIDs: make([]int32, 8), Offsets: []int32{0, 5, 8}}
	logits := func(m *encoder.Model, a adapter.Adapter, task int) (values []float32) {
		t.Helper()
		if err := torch.Do(func() error {
			torch.NoGrad(func() {
				pass := adapter.ForTask(a, task).Begin(adapter.Step{DType: torch.Float32, Tokens: 8})
				values = torch.ToSlice[float32](m.Forward(in, pass, encoder.Dropout{}))
			})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return values
	}

	backbone, err := models.LoadBackbone(tinyBERT, torch.Float32, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer backbone.Free()
	outputs := func(task string) int { return max(1, len(saved.Config.Labels[task])) }
	head, err := backbone.NewHead(encoder.HeadOptions{Labels: outputs(tasks[0])})
	if err != nil {
		t.Fatal(err)
	}
	one := encoder.NewModel(backbone, head)
	defer one.Free()
	shared, _, err := saved.PutOn(one, tasks[0], torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Free()
	two, err := one.Beside(encoder.HeadOptions{Labels: outputs(tasks[1])})
	if err != nil {
		t.Fatal(err)
	}
	defer two.Free()
	if missing, err := saved.LoadTaskHead(tasks[1], two.Head()); err != nil || len(missing) > 0 {
		t.Fatalf("missing %v, error %v", missing, err)
	}
	if left := saved.Left(); len(left) > 0 {
		t.Errorf("nobody has asked for %v", left)
	}
	for i, m := range []*encoder.Model{one, two} {
		alone, err := models.Load(tinyBERT, encoder.Options{Labels: outputs(tasks[i]), DType: torch.Float32, Device: torch.CPU})
		if err != nil {
			t.Fatal(err)
		}
		defer alone.Free()
		opened, _, err := saved.PutOn(alone, tasks[i], torch.CPU)
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Free()
		got, want := logits(m, shared, i), logits(alone, opened, i)
		if !slices.Equal(got, want) || len(got) != 2*outputs(tasks[i]) {
			t.Errorf("task %s: logits %v, alone %v", tasks[i], got, want)
		}
	}
}
