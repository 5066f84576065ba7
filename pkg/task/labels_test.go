package task

import (
	"slices"
	"testing"
)

func TestLikeNames(t *testing.T) {
	for _, c := range []struct {
		labels, names, want []string // want nil: other names
	}{
		{[]string{"entailment", "neutral", "contradiction"}, []string{"CONTRADICTION", "NEUTRAL", "ENTAILMENT"}, []string{"contradiction", "neutral", "entailment"}},
		{[]string{"entailment", "neutral", "contradiction"}, []string{"contradiction", "entailment", "neutral"}, []string{"contradiction", "entailment", "neutral"}},
		{[]string{"entailment", "neutral", "contradiction"}, []string{"LABEL_0", "LABEL_1", "LABEL_2"}, nil},
		{[]string{"entailment", "not_entailment"}, []string{"not_entailment", "entailment", "neutral"}, nil},
		{[]string{"0", "1"}, []string{"1", "1"}, nil},
		{[]string{"a", "A"}, []string{"A", "a"}, []string{"A", "a"}},
		{[]string{"a", "A"}, []string{"A", "A"}, nil},
		{[]string{"a", "b"}, []string{"B", "b"}, nil},
		{nil, []string{"LABEL_0"}, nil},
	} {
		got, ok := Task{Labels: c.labels}.LikeNames(c.names)
		if ok != (c.want != nil) || !slices.Equal(got, c.want) {
			t.Errorf("%v named %v: %v, %v; want %v", c.labels, c.names, got, ok, c.want)
		}
	}
}

// Another order of the classes changes their indices and no metric.
func TestWithLabelsKeepsMetrics(t *testing.T) {
	mrpc, err := Lookup("MRPC")
	if err != nil {
		t.Fatal(err)
	}
	turned, err := mrpc.WithLabels([]string{"1", "0"})
	if err != nil {
		t.Fatal(err)
	}
	gold := []float64{0, 1, 1, 0, 1, 1}
	logits := []float32{1, 2, 1, 2, 2, 1, 3, 1, 0, 5, 1, 2}
	want, err := mrpc.Evaluate(logits, 2, goldExamples(mrpc, gold))
	if err != nil {
		t.Fatal(err)
	}
	for i := range gold {
		gold[i] = 1 - gold[i]
		logits[2*i], logits[2*i+1] = logits[2*i+1], logits[2*i]
	}
	got, err := turned.Evaluate(logits, 2, goldExamples(turned, gold))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v (%v), want %v", got, err, want)
	}
	if f1, _ := want.Get(F1); f1.Value == 0 || f1.Value == 1 {
		t.Errorf("F1 %v tells nothing", f1.Value)
	}
	if _, err := mrpc.WithLabels([]string{"0", "0"}); err == nil || err.Error() != `MRPC has the labels "0 1", not "0 0"` {
		t.Errorf("%v", err)
	}
}
