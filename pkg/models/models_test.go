package models_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/bert"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/models/roberta"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/torch"
)

func load(t *testing.T, dir string, o encoder.Options) *encoder.Model {
	t.Helper()
	o.Device = torch.CPU
	m, err := models.Load(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	return m
}

// readBatch reads the examples of a fixture and their labels.
func readBatch(t *testing.T, path string) (in encoder.Input, labels []int64) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var batch struct {
		Examples []struct {
			IDs     []int32
			TypeIDs []int32 `json:"type_ids"`
			Label   int64
		}
	}
	if err := json.Unmarshal(text, &batch); err != nil {
		t.Fatal(err)
	}
	in.Offsets = []int32{0}
	for _, e := range batch.Examples {
		in.IDs, in.TypeIDs, labels = append(in.IDs, e.IDs...), append(in.TypeIDs, e.TypeIDs...), append(labels, e.Label)
		in.Offsets = append(in.Offsets, int32(len(in.IDs)))
	}
	return in, labels
}

// floats reads every F32 tensor of a file.
func floats(t *testing.T, path string) map[string][]float64 {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tensors := map[string][]float64{}
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		n := int64(4)
		for _, d := range info.Shape {
			n *= d
		}
		data := make([]byte, n)
		if err := f.ReadInto(name, data); err != nil {
			t.Fatal(err)
		}
		values := make([]float64, n/4)
		for i := range values {
			values[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])))
		}
		tensors[name] = values
	}
	return tensors
}

func norm(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v * v
	}
	return math.Sqrt(sum)
}

func largest(values []float64) float64 {
	return max(slices.Max(values), -slices.Min(values))
}

func difference(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	return d
}

// layerOf is the layer that a weight belongs to.
func layerOf(name string) string {
	if _, after, ok := strings.Cut(name, ".layer."); ok {
		number, _, _ := strings.Cut(after, ".")
		return number
	}
	if strings.Contains(name, "embeddings") {
		return "embeddings"
	}
	return "head"
}

// Hidden states, logits and the gradients of a full fine-tuning step are those
// that transformers computes (parity/models.py), whatever files the model
// stands in.
func TestModelsAreTransformers(t *testing.T) {
	for _, c := range []struct{ dir, expected string }{{"bert", "bert"}, {"bert-2018", "bert"}, {"roberta", "roberta"}} {
		t.Run(c.dir, func(t *testing.T) {
			m := load(t, filepath.Join("testdata", c.dir), encoder.Options{DType: torch.Float32})
			in, labels := readBatch(t, filepath.Join("testdata", c.expected, "batch.json"))
			want := floats(t, filepath.Join("testdata", c.expected, "expected.safetensors"))
			if err := m.Check(in); err != nil {
				t.Fatal(err)
			}
			got := map[string][]float64{}
			add := func(name string, tensor *torch.Tensor) {
				for _, v := range torch.ToSlice[float32](tensor.Detach()) {
					got[name] = append(got[name], float64(v))
				}
			}
			err := torch.Do(func() error {
				var leaves []*torch.Tensor
				for _, w := range m.Weights() {
					leaves = append(leaves, w.Tensor.SetRequiresGrad(true))
				}
				for i, h := range m.HiddenStates(in, nil) {
					add(fmt.Sprintf("hidden.%d", i), h)
				}
				logits := m.Forward(in, nil, encoder.Dropout{})
				add("logits", logits)
				for i, g := range torch.Gradients(logits.CrossEntropy(torch.FromSlice(labels)), leaves) {
					add("grad."+m.Weights()[i].Name, g)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Errorf("%d tensors, transformers has %d", len(got), len(want))
			}
			ofLayer := map[string]float64{} // the largest gradient norm
			for name, values := range want {
				if strings.HasPrefix(name, "grad.") {
					ofLayer[layerOf(name)] = max(ofLayer[layerOf(name)], norm(values))
				}
			}
			for name, values := range want {
				if len(got[name]) != len(values) {
					t.Errorf("%s: %d elements, want %d", name, len(got[name]), len(values))
					continue
				}
				d := difference(got[name], values)
				if !strings.HasPrefix(name, "grad.") {
					if worst := largest(d) / largest(values); worst > 1e-5 {
						t.Errorf("%s: off by %.1e of its scale", name, worst)
					}
					continue
				}
				// The key bias's gradient is 0 in exact arithmetic: it has no
				// scale but its layer's.
				if norm(d) > 1e-4*norm(values) && !(strings.HasSuffix(name, "key.bias") && norm(d) <= 1e-4*ofLayer[layerOf(name)]) {
					t.Errorf("%s: off by %.1e of its norm %.1e", name, norm(d)/norm(values), norm(values))
				}
			}
		})
	}
}

func TestReportsOfOldCheckpoints(t *testing.T) {
	r := load(t, "testdata/bert-2018", encoder.Options{DType: torch.Float32}).Report()
	const want = "bert.embeddings.word_embeddings.weight is cls.predictions.decoder.weight"
	if len(r.Tied) != 1 || r.Tied[0] != want || len(r.New)+len(r.Unexpected) > 0 {
		t.Errorf("%+v, want the one tie %q", r, want)
	}
	other := load(t, "testdata/roberta", encoder.Options{DType: torch.Float32, Labels: 2}).Report()
	if got := strings.Join(other.New, " "); got != "classifier.out_proj.weight classifier.out_proj.bias" {
		t.Errorf("another number of labels: new %q", got)
	}
	if got := strings.Join(other.Unexpected, " "); got != "classifier.out_proj.bias classifier.out_proj.weight" {
		t.Errorf("another number of labels: unused %q", got)
	}
}

// A model that was saved is the model, in either dtype.
func TestSaveIsLoad(t *testing.T) {
	for _, dtype := range []torch.DType{torch.Float32, torch.BFloat16} {
		for _, name := range []string{"bert", "roberta"} {
			dir := filepath.Join("testdata", name)
			m := load(t, dir, encoder.Options{DType: dtype})
			saved := filepath.Join(t.TempDir(), "model")
			if err := m.Save(saved); err != nil {
				t.Fatal(err)
			}
			again := load(t, saved, encoder.Options{DType: dtype})
			in, _ := readBatch(t, filepath.Join(dir, "batch.json"))
			if a, b := logits(t, m, in), logits(t, again, in); !slices.Equal(a, b) {
				t.Errorf("%s %s: %v, saved and loaded %v", name, dtype, a, b)
			}
			if a, b := m.Config().ID2Label, again.Config().ID2Label; !slices.Equal(a, b) {
				t.Errorf("%s: labels %v, saved and loaded %v", name, a, b)
			}
			if r := again.Report(); len(r.New)+len(r.Unexpected) > 0 {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}

func logits(t *testing.T, m *encoder.Model, in encoder.Input) (values []float32) {
	t.Helper()
	if err := m.Check(in); err != nil {
		t.Fatal(err)
	}
	if err := torch.Do(func() error {
		torch.NoGrad(func() { values = torch.ToSlice[float32](m.Forward(in, nil, encoder.Dropout{})) })
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return values
}

// Packing leaks nothing: every length from 1 to 512, mixed in batches, gives
// each example the logits that it has alone.
func TestPackingLeaksNothing(t *testing.T) {
	const longest = 512
	config := func(kind string, positions int) *hf.Config {
		return &hf.Config{
			ModelType: kind, VocabSize: 61, HiddenSize: 24, NumHiddenLayers: 2, NumAttentionHeads: 3, IntermediateSize: 31,
			MaxPositionEmbeddings: positions, TypeVocabSize: 1, PadTokenID: 1, HiddenAct: "gelu", LayerNormEps: 1e-5,
			InitializerRange: 0.3, ID2Label: []string{"a", "b", "c"},
		}
	}
	o := encoder.Options{DType: torch.Float32, Device: torch.CPU, Seed: 4}
	b, err := bert.New(config("bert", longest), o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Free()
	r, err := roberta.New(config("roberta", longest+2), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Free()
	for _, m := range []*encoder.Model{b, r} {
		if m.MaxLength() != longest {
			t.Fatalf("%s takes %d tokens", m.Config().ModelType, m.MaxLength())
		}
		const batches = 32
		for first := range batches {
			in := encoder.Input{Offsets: []int32{0}}
			for n := longest - first; n >= 1; n -= batches { // 512, 480 … and 481 … 1
				for i := range n {
					in.IDs = append(in.IDs, int32((7*i*i+n)%59+2)) // no padding token
				}
				in.Offsets = append(in.Offsets, int32(len(in.IDs)))
			}
			in.TypeIDs = make([]int32, len(in.IDs))
			together := logits(t, m, in)
			scale := float64(slices.Max(together) - slices.Min(together))
			for i := range in.Examples() {
				from, to := in.Offsets[i], in.Offsets[i+1]
				alone := logits(t, m, encoder.Input{IDs: in.IDs[from:to], TypeIDs: in.TypeIDs[from:to], Offsets: []int32{0, to - from}})
				for j, want := range alone {
					if got := together[3*i+j]; math.Abs(float64(got-want)) > 1e-5*scale {
						t.Errorf("%s: %d tokens, logit %d: %v in the batch, %v alone", m.Config().ModelType, to-from, j, got, want)
					}
				}
			}
		}
	}
}

// What would be computed wrongly is refused at load.
func TestUnsupportedModelsAreRefused(t *testing.T) {
	for _, c := range []struct{ old, with, want string }{
		{`"hidden_act": "relu"`, `"hidden_act": "silu"`, "hidden_act"},
		{`"model_type": "roberta"`, `"model_type": "roberta", "position_embedding_type": "relative_key"`, "position_embedding_type"},
		{`"model_type": "roberta"`, `"model_type": "roberta", "add_cross_attention": true`, "cross attention"},
		{`"hidden_size": 10`, `"hidden_size": 12`, "shape"},
		{`"num_hidden_layers": 3`, `"num_hidden_layers": 4`, "roberta.encoder.layer.3.attention.self.query.weight is missing; the nearest is"},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("testdata/roberta")); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "config.json")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(strings.Replace(string(text), `"add_cross_attention": false,`, "", 1), c.old, c.with, 1)
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		if m, err := models.Load(dir, encoder.Options{DType: torch.Float32, Device: torch.CPU}); err == nil {
			m.Free()
			t.Errorf("%s: no error", c.with)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %q does not say %q", c.with, err, c.want)
		}
	}
}
