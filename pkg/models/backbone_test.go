package models_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	_ "github.com/metatt/metatt/pkg/full"
	_ "github.com/metatt/metatt/pkg/metatt"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
)

func loadBackbone(t *testing.T, dir string, dtype torch.DType) *encoder.Backbone {
	t.Helper()
	b, err := models.LoadBackbone(dir, dtype, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Free)
	return b
}

// on is a model on a backbone that stays the test's.
func on(t *testing.T, b *encoder.Backbone, o encoder.HeadOptions) *encoder.Model {
	t.Helper()
	head, err := b.NewHead(o)
	if err != nil {
		t.Fatal(err)
	}
	m := encoder.NewModel(b, head)
	t.Cleanup(m.Free)
	return m
}

// sums is a digest of each tensor.
func sums(t *testing.T, tensors []adapter.Parameter) map[string][sha256.Size]byte {
	t.Helper()
	sums := map[string][sha256.Size]byte{}
	if err := torch.Do(func() error {
		for _, p := range tensors {
			sums[p.Name] = sha256.Sum256(p.Tensor.Detach().To(torch.CPU).Contiguous().Bytes())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return sums
}

// withoutPooler is a folder with the tiny BERT as a masked language model leaves
// it: neither pooler nor classifier.
func withoutPooler(t *testing.T) string {
	t.Helper()
	m := load(t, "testdata/bert", encoder.Options{DType: torch.Float32})
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var kept []safetensors.Tensor
	for _, name := range f.Names() {
		if strings.Contains(name, "pooler") || strings.Contains(name, "classifier") {
			continue
		}
		info, _ := f.Info(name)
		data := make([]byte, info.Size)
		if err := f.ReadInto(name, data); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, safetensors.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: data})
	}
	if err := safetensors.Write(path, kept, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Models on one backbone are those that are loaded alone, bit for bit, with what
// loading reports; freeing one leaves the others.
func TestModelsOnOneBackbone(t *testing.T) {
	for _, dir := range []string{"testdata/bert", "testdata/bert-2018", "testdata/roberta", withoutPooler(t)} {
		for _, dtype := range []torch.DType{torch.Float32, torch.BFloat16} {
			batch := filepath.Join(dir, "batch.json")
			if !strings.HasSuffix(dir, "/roberta") {
				batch = "testdata/bert/batch.json"
			}
			in, _ := readBatch(t, batch)
			b := loadBackbone(t, dir, dtype)
			before := sums(t, b.Weights())
			var shared []*encoder.Model
			var want [][]float32
			for _, o := range []encoder.HeadOptions{{}, {Labels: 2, Seed: 5}, {Labels: 5, Seed: 6, TrainPooler: true}} {
				alone := load(t, dir, encoder.Options{DType: dtype, Labels: o.Labels, Seed: o.Seed, TrainPooler: o.TrainPooler})
				head, err := b.NewHead(o)
				if err != nil {
					t.Fatal(err)
				}
				m := encoder.NewModel(b, head)
				shared, want = append(shared, m), append(want, logits(t, alone, in))
				if got, alone := fmt.Sprint(m.Report(), m.Config().ID2Label), fmt.Sprint(alone.Report(), alone.Config().ID2Label); got != alone {
					t.Errorf("%s, %+v: %s, loaded alone %s", dir, o, got, alone)
				}
				if got, alone := sums(t, m.Weights()), sums(t, alone.Weights()); !maps.Equal(got, alone) {
					t.Errorf("%s, %+v: other weights than loaded alone", dir, o)
				}
			}
			for i, m := range shared {
				if got := logits(t, m, in); !slices.Equal(got, want[i]) {
					t.Errorf("%s %s, head %d: logits %v, loaded alone %v", dir, dtype, i, got, want[i])
				}
				m.Free()
			}
			if !maps.Equal(before, sums(t, b.Weights())) {
				t.Errorf("%s: the backbone has changed", dir)
			}
		}
	}
}

// Nobody draws in between: a head that is made twice is the same, whatever other
// goroutines draw; so is a model.
func TestDrawsOfASeedAreOnesOwn(t *testing.T) {
	b := loadBackbone(t, withoutPooler(t), torch.Float32)
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = torch.Do(func() error { torch.Randn(torch.Float32, torch.CPU, 3); return nil })
				}
			}
		})
	}
	defer others.Wait()
	defer close(stop)
	var want map[string][sha256.Size]byte
	for i := range 50 {
		head, err := b.NewHead(encoder.HeadOptions{Labels: 4, Seed: 9})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(head.Made(), " "); got != "bert.pooler.dense.weight bert.pooler.dense.bias classifier.weight classifier.bias" {
			t.Fatalf("made %q", got)
		}
		got := sums(t, head.Parameters())
		head.Free()
		if want == nil {
			want = got
		}
		if !maps.Equal(got, want) {
			t.Fatalf("head %d is another one", i)
		}
	}
}

// newAdapter is an adapter of that method on the model.
func newAdapter(t *testing.T, method string, m *encoder.Model) adapter.Adapter {
	t.Helper()
	made, err := adapter.Lookup(method)
	if err != nil {
		t.Fatal(err)
	}
	a, err := made.New(adapter.Spec{
		Architecture: m.Architecture(), Targets: []adapter.Kind{adapter.Query, adapter.Value}, Rank: 2, Alpha: 1, Seed: 1, Device: torch.CPU,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Free)
	if err := adapter.Bind(a, m); err != nil {
		t.Fatal(err)
	}
	return a
}

// add adds one to every element.
func add(t *testing.T, tensors ...*torch.Tensor) {
	t.Helper()
	if err := torch.Do(func() error {
		torch.NoGrad(func() {
			for _, tensor := range tensors {
				tensor.AddInPlace(tensor.Detach().ZerosLike().AddScalar(1))
			}
		})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// What changes tensors of the backbone, changes them for the model and those
// beside it alone: copies take the place of those tensors, all others are shared.
func TestASharedBackboneStaysAsItIs(t *testing.T) {
	const bias = "bert.encoder.layer.1.output.LayerNorm.bias"
	train := func(method string) func(t *testing.T, m *encoder.Model) {
		return func(t *testing.T, m *encoder.Model) {
			trainer := newAdapter(t, method, m).(adapter.BackboneTrainer)
			for _, p := range trainer.Parameters() {
				add(t, p.Tensor)
			}
			if err := torch.Do(func() error { trainer.Publish(); return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name    string
		change  func(t *testing.T, m *encoder.Model)
		changes func(name string) bool
	}{
		{"full", train("full"), func(string) bool { return true }},
		{"bitfit", train("bitfit"), func(name string) bool { return strings.HasSuffix(name, ".bias") }},
		{"replace", func(t *testing.T, m *encoder.Model) {
			for value := range 2 { // the second time in place
				if err := torch.Do(func() error {
					return m.Replace(bias, torch.Ones(torch.Float32, torch.CPU, m.Architecture().Hidden).MulScalar(float64(value)))
				}); err != nil {
					t.Fatal(err)
				}
			}
		}, func(name string) bool { return name == bias }},
		{"merge", func(t *testing.T, m *encoder.Model) {
			a := newAdapter(t, "metatt4d", m)
			for _, p := range a.Parameters() {
				add(t, p.Tensor)
			}
			if err := torch.Do(func() error {
				merged, err := adapter.Merge(a, m.Architecture(), m)
				if err == nil {
					merged.Free()
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}, func(name string) bool {
			return strings.HasSuffix(name, "query.weight") || strings.HasSuffix(name, "value.weight")
		}},
	} {
		for _, dtype := range []torch.DType{torch.Float32, torch.BFloat16} {
			t.Run(c.name+"/"+dtype.String(), func(t *testing.T) {
				in, _ := readBatch(t, "testdata/bert/batch.json")
				b := loadBackbone(t, "testdata/bert", dtype)
				before := sums(t, b.Weights())
				other := on(t, b, encoder.HeadOptions{})
				plain := logits(t, other, in)
				m := on(t, b, encoder.HeadOptions{})
				beside, err := m.Beside(encoder.HeadOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer beside.Free()
				c.change(t, m)
				after := sums(t, m.Backbone())
				for i, w := range b.Weights() {
					changed := before[w.Name] != after[w.Name]
					if changed != c.changes(w.Name) {
						t.Errorf("%s: changed is %v", w.Name, changed)
					}
					if shared := m.Backbone()[i].Tensor == w.Tensor; changed && shared {
						t.Errorf("%s changed and is shared", w.Name)
					} else if c.name == "replace" && !changed && !shared {
						t.Errorf("%s is a copy of what did not change", w.Name)
					}
				}
				if !maps.Equal(before, sums(t, b.Weights())) {
					t.Error("the shared backbone has changed")
				}
				changed := logits(t, m, in)
				if slices.Equal(changed, plain) {
					t.Error("the model computes as before")
				}
				if got := logits(t, beside, in); !slices.Equal(got, changed) {
					t.Errorf("logits %v beside a model with %v", got, changed)
				}
				if got := logits(t, other, in); !slices.Equal(got, plain) {
					t.Errorf("another model's logits %v, before %v", got, plain)
				}

				// A model alone on its backbone needs no copies.
				alone := load(t, "testdata/bert", encoder.Options{DType: dtype})
				tensors := alone.Backbone()
				c.change(t, alone)
				if got := logits(t, alone, in); !slices.Equal(got, changed) {
					t.Errorf("logits %v alone, %v on a shared backbone", got, changed)
				}
				if !slices.Equal(alone.Backbone(), tensors) {
					t.Error("a backbone that nobody shares was copied")
				}
			})
		}
	}
}

// A pooler that a head trains is none of the backbone's for its model.
func TestTrainedPoolerIsTheHeads(t *testing.T) {
	const pooler = "bert.pooler.dense.weight"
	b := loadBackbone(t, "testdata/bert", torch.Float32)
	has := func(tensors []adapter.Parameter) bool {
		return slices.ContainsFunc(tensors, func(p adapter.Parameter) bool { return p.Name == pooler })
	}
	frozen, trained := on(t, b, encoder.HeadOptions{}), on(t, b, encoder.HeadOptions{TrainPooler: true})
	if !has(frozen.Backbone()) || has(frozen.Head()) || has(trained.Backbone()) || !has(trained.Head()) {
		t.Errorf("the pooler is the backbone's: %v and %v, the head's: %v and %v; want true, false and the reverse",
			has(frozen.Backbone()), has(trained.Backbone()), has(frozen.Head()), has(trained.Head()))
	}
	if len(frozen.Weights()) != len(trained.Weights()) {
		t.Errorf("%d and %d tensors", len(frozen.Weights()), len(trained.Weights()))
	}
	if err := torch.Do(func() error { return trained.Replace(pooler, torch.Zeros(torch.Float32, torch.CPU, 12, 12)) }); err == nil {
		t.Error("a tensor of the head was replaced as the backbone's")
	}
}

func TestHeadsAreRefused(t *testing.T) {
	b := loadBackbone(t, "testdata/roberta", torch.Float32)
	if head, err := b.NewHead(encoder.HeadOptions{Labels: -1}); err == nil || !strings.Contains(err.Error(), "-1 labels") {
		t.Errorf("head %v, error %v", head, err)
	}
	if _, err := models.LoadBackbone(t.TempDir(), torch.Float32, torch.CPU); err == nil {
		t.Error("an empty folder has a backbone")
	}
}
