package bert_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/bert"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
)

const tinyBERT = "../../run/testdata/tiny-bert" // 40 positions, 36 words

func load(t *testing.T, o encoder.Options) *encoder.Model {
	t.Helper()
	o.Labels, o.Device = 2, torch.CPU
	m, err := bert.Load(tinyBERT, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Free)
	return m
}

// pack makes a batch of random examples of those lengths.
func pack(m *encoder.Model, lengths ...int) encoder.Input {
	random := rand.New(rand.NewPCG(1, 2))
	in := encoder.Input{Offsets: []int32{0}}
	for _, n := range lengths {
		for i := range n {
			in.IDs = append(in.IDs, random.Int32N(int32(m.Config().VocabSize)))
			in.TypeIDs = append(in.TypeIDs, int32(2*i/n))
		}
		in.Offsets = append(in.Offsets, int32(len(in.IDs)))
	}
	return in
}

// one is example i of a batch, alone.
func one(in encoder.Input, i int) encoder.Input {
	from, to := in.Offsets[i], in.Offsets[i+1]
	return encoder.Input{IDs: in.IDs[from:to], TypeIDs: in.TypeIDs[from:to], Offsets: []int32{0, to - from}}
}

// forward is the logits without dropout, under no-grad.
func forward(t *testing.T, m *encoder.Model, in encoder.Input) []float32 {
	t.Helper()
	if err := m.Check(in); err != nil {
		t.Fatal(err)
	}
	var logits []float32
	if err := torch.Do(func() error {
		torch.NoGrad(func() { logits = torch.ToSlice[float32](m.Forward(in, nil, encoder.Dropout{})) })
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return logits
}

// Packing leaks nothing: each example of a mixed batch has the logits that it
// has alone.
func TestPackingLeaksNothing(t *testing.T) {
	for _, dtype := range []torch.DType{torch.Float32, torch.BFloat16} {
		m := load(t, encoder.Options{DType: dtype})
		in := pack(m, 1, 40, 7, 2, 33, 7, 40, 1)
		together := forward(t, m, in)
		tolerance := 1e-5
		if dtype == torch.BFloat16 {
			// Another blocking of the sums rounds differently: one unit in the
			// last of 8 bits, through three layers.
			tolerance = 3 * 4.0 / 256
		}
		for i := range in.Examples() {
			alone := forward(t, m, one(in, i))
			for j, want := range alone {
				if got := together[2*i+j]; math.Abs(float64(got-want)) > tolerance*(1+math.Abs(float64(want))) {
					t.Errorf("%s: example %d, logit %d: %v in the batch, %v alone", dtype, i, j, got, want)
				}
			}
		}
	}
}

// With attention dropout the probabilities are made by hand: with a
// probability that rounds to nothing they must be those of the fused kernel.
func TestTrainingAttentionIsTheFusedOne(t *testing.T) {
	almostNone := 1e-9
	m := load(t, encoder.Options{DType: torch.Float32})
	in := pack(m, 5, 40, 17)
	want := forward(t, m, in)
	if err := torch.Do(func() error {
		for i, got := range torch.ToSlice[float32](m.Forward(in, nil, m.Dropout(&almostNone)).Detach()) {
			if math.Abs(float64(got-want[i])) > 1e-5 {
				t.Errorf("logit %d: %v, fused %v", i, got, want[i])
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// The probabilities are config.json's, the classifier's the hidden ones where it
// has none of its own; an override stands for all three.
func TestDropoutIsConfigs(t *testing.T) {
	own, override := 0.4, 0.25
	config := hf.Config{
		ModelType: "bert", VocabSize: 5, HiddenSize: 6, NumHiddenLayers: 1, NumAttentionHeads: 2, IntermediateSize: 3, MaxPositionEmbeddings: 4,
		TypeVocabSize: 1, HiddenAct: "gelu", LayerNormEps: 1e-5, ID2Label: []string{"a"}, HiddenDropoutProb: 0.1, AttentionProbsDropoutProb: 0.2,
	}
	for _, c := range []struct {
		classifier, override *float64
		want                 encoder.Dropout
	}{
		{nil, nil, encoder.Dropout{Hidden: 0.1, Attention: 0.2, Classifier: 0.1}},
		{&own, nil, encoder.Dropout{Hidden: 0.1, Attention: 0.2, Classifier: 0.4}},
		{&own, &override, encoder.Dropout{Hidden: 0.25, Attention: 0.25, Classifier: 0.25}},
	} {
		config.ClassifierDropout = c.classifier
		m, err := bert.New(&config, encoder.Options{DType: torch.Float32, Device: torch.CPU})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Dropout(c.override); got != c.want {
			t.Errorf("dropout %+v, want %+v", got, c.want)
		}
		m.Free()
	}
}

func TestCheckRejectsWhatWouldReadOutside(t *testing.T) {
	m := load(t, encoder.Options{DType: torch.Float32})
	for name, in := range map[string]encoder.Input{
		"id beyond the vocabulary": {IDs: []int32{36}, TypeIDs: []int32{0}, Offsets: []int32{0, 1}},
		"negative id":              {IDs: []int32{-1}, TypeIDs: []int32{0}, Offsets: []int32{0, 1}},
		"type beyond the types":    {IDs: []int32{1}, TypeIDs: []int32{2}, Offsets: []int32{0, 1}},
		"empty example":            {IDs: []int32{1}, TypeIDs: []int32{0}, Offsets: []int32{0, 0, 1}},
		"too long":                 pack(m, 41),
		"no examples":              {Offsets: []int32{0}},
		"offsets beyond the ids":   {IDs: []int32{1}, TypeIDs: []int32{0}, Offsets: []int32{0, 2}},
	} {
		if m.Check(in) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestReportSaysWhatWasMade(t *testing.T) {
	three, err := bert.Load(tinyBERT, encoder.Options{Labels: 3, DType: torch.Float32, Device: torch.CPU})
	if err != nil {
		t.Fatal(err)
	}
	defer three.Free()
	if got := strings.Join(three.Report().New, " "); got != "classifier.weight classifier.bias" {
		t.Errorf("head for another number of labels: new %q", got)
	}
	two := load(t, encoder.Options{DType: torch.Float32})
	if r := two.Report(); len(r.New)+len(r.Unexpected) > 0 || r.Prefix != "bert." {
		t.Errorf("%+v", r)
	}
}
