package adaptertest

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/torch/torchtest"
)

// loss is cross entropy against labels that no model knows, with what the
// adapter adds to it.
func loss(a adapter.Adapter, model Model, dtype torch.DType) *torch.Tensor {
	logits := model.Logits(a.Begin(adapter.Step{DType: dtype, Training: true, Tokens: model.Tokens()}))
	labels := make([]int64, logits.Size(0))
	for i := range labels {
		labels[i] = int64(i) % logits.Size(1)
	}
	value := logits.CrossEntropy(torch.FromSlice(labels))
	if r, ok := a.(adapter.Regularized); ok {
		value = value.Add(r.Penalty())
	}
	return value
}

// descend moves the parameters by length along gradients (negative: down).
func descend(a adapter.Adapter, gradients []*torch.Tensor, length float64) {
	norm := norm(gradients)
	torch.NoGrad(func() {
		for i, p := range a.Parameters() {
			p.Tensor.AddInPlace(gradients[i].ToDType(torch.Float32).MulScalar(length / norm))
		}
	})
	if b, ok := a.(adapter.BackboneTrainer); ok {
		b.Publish()
	}
}

func norm(tensors []*torch.Tensor) float64 {
	var squares float64
	for _, t := range tensors {
		n := t.Norm().Item()
		squares += n * n
	}
	return math.Sqrt(squares)
}

// gradient: along its own direction, the loss changes by the gradient's length.
// Where there is a ΔW, apply has the gradients against autograd already, and
// DoRA's are on purpose not those of its loss.
func (s suite) gradient(t *testing.T) {
	model := s.newModel(t, torch.Float32)
	a := s.adapter(t, model)
	if isLinear(a) {
		t.Skip("is held to autograd through Delta")
	}
	torchtest.Compute(t, func() {
		disturb(a)
		gradients := torch.Gradients(loss(a, model, torch.Float32), adapter.Leaves(a))
		want := norm(gradients)
		// The difference is off by h²·loss‴ and by the loss's rounding, 1e-7/h:
		// with h = 3e-3 both are far below a hundredth.
		const h, tolerance = 3e-3, 1e-2
		descend(a, gradients, h)
		above := loss(a, model, torch.Float32).Item()
		descend(a, gradients, -2*h)
		below := loss(a, model, torch.Float32).Item()
		if got := (above - below) / (2 * h); math.Abs(got-want) > tolerance*want || want == 0 {
			t.Errorf("the loss changes by %g a unit length, the gradient says %g", got, want)
		}
	})
}

// seed: it alone decides the start.
func (s suite) seed(t *testing.T) {
	model := s.newModel(t, torch.Float32)
	a := s.adapter(t, model)
	torchtest.Compute(t, func() { torch.Randn(torch.Float32, torch.CPU, 7) })
	equalState(t, adapter.State(s.adapter(t, model)), adapter.State(a))
}

// training: five steps lower the loss, and leave the backbone bit for bit as it
// was unless the method trains it.
func (s suite) training(t *testing.T) {
	for _, dtype := range []torch.DType{torch.Float32, torch.BFloat16} {
		model := s.newModel(t, dtype)
		a := s.adapter(t, model)
		if len(a.Parameters()) == 0 {
			t.Skip("trains the head alone")
		}
		torchtest.Compute(t, func() {
			var before []*torch.Tensor
			for _, w := range model.Backbone() {
				before = append(before, w.Tensor.Detach().Clone())
			}
			first := loss(a, model, dtype).Item()
			for range 5 {
				descend(a, torch.Gradients(loss(a, model, dtype), adapter.Leaves(a)), -0.1)
			}
			if last := loss(a, model, dtype).Item(); !(last < first) {
				t.Errorf("%s: the loss went from %g to %g", dtype, first, last)
			}
			_, trains := a.(adapter.BackboneTrainer)
			changed := false
			for i, w := range model.Backbone() {
				changed = changed || !w.Tensor.Detach().Equal(before[i])
			}
			if changed != trains {
				t.Errorf("%s: the backbone changed: %v", dtype, changed)
			}
		})
	}
}

var numbers = regexp.MustCompile(`\d+`)

// wrongRank: a rank that is too large is an error that names the largest legal
// one, and so is a rank below 1.
func (s suite) wrongRank(t *testing.T) {
	model := s.newModel(t, torch.Float32)
	if len(s.adapter(t, model).Config().Ranks) == 0 {
		t.Skip("has no rank")
	}
	try := func(rank int) error {
		spec := s.spec(model)
		spec.Rank = rank
		a, err := s.method.New(spec)
		if err == nil {
			a.Free()
		}
		return err
	}
	if try(0) == nil || try(-1) == nil {
		t.Error("a rank below 1 is taken")
	}
	err := try(1 << 40)
	if err == nil {
		t.Fatal("rank 2⁴⁰ is taken")
	}
	for _, number := range numbers.FindAllString(err.Error(), -1) {
		if largest, _ := strconv.Atoi(number); largest > 0 && largest < 1<<40 && try(largest) == nil && try(largest+1) != nil {
			return
		}
	}
	t.Errorf("error %q does not name the largest legal rank", err)
}

// wrongPlace: opening onto another architecture, or as another method, is an
// error that names both.
func (s suite) wrongPlace(t *testing.T) {
	model := s.newModel(t, torch.Float32)
	a := s.adapter(t, model)
	dir := t.TempDir()
	if err := adapter.Save(dir, a.Config(), adapter.State(a)); err != nil {
		t.Fatal(err)
	}
	other := model.Architecture()
	other.Layers++
	refused := func(saved *adapter.Saved, model adapter.Architecture, names ...string) {
		t.Helper()
		opened, err := saved.Open(model, torch.CPU)
		if err == nil {
			opened.Free()
			t.Errorf("opened in the wrong place; the error should name %v", names)
			return
		}
		for _, name := range names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("error %q does not name %s", err, name)
			}
		}
	}
	refused(read(t, dir), other, model.Architecture().String(), other.String())

	for _, m := range adapter.Methods() {
		if m.PEFTType == s.method.PEFTType {
			continue
		}
		path := filepath.Join(dir, adapter.ConfigFile)
		config, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wrong := strings.Replace(string(config), `"method": "`+s.method.Name+`"`, `"method": "`+m.Name+`"`, 1)
		if err := os.WriteFile(path, []byte(wrong), 0o644); err != nil {
			t.Fatal(err)
		}
		refused(read(t, dir), model.Architecture(), m.Name, s.method.PEFTType)
		return
	}
}
