package run_test

import (
	"math"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/run"
)

// A regression's head begins at the mean of the training scores it has, unless it goes on from a saved one.
func TestRegressionBeginsAtTheMean(t *testing.T) {
	glue := threeTasks(t)
	still := []string{"task=stsb", "data.glue=" + glue, "train.lr=1e-12", "train.max_steps=1"}
	var said []string
	train := func(overrides ...string) *record.Run {
		t.Helper()
		said = nil
		o := tiny(t, append(still, overrides...)...)
		o.Observer = notes{texts: &said}
		if _, err := run.Train(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		r, err := record.Read(o.Config.Run.Dir)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := train()
	if text := strings.Join(said, "\n"); !strings.Contains(text, "STS-B: the output begins at 2.118, the mean of the training scores") { // 36 in all, of 17
		t.Error(text)
	}
	if loss := float64(first.Evals[0].Loss); math.Abs(loss-2.5) > 0.5 { // about the variance; from zero it is 7
		t.Errorf("dev loss %v", loss)
	}
	train("adapter.init_from=" + first.Dir)
	if text := strings.Join(said, "\n"); strings.Contains(text, "the output begins at") {
		t.Errorf("a saved head is moved: %s", text)
	}
	train("adapter.init_from=testdata/peft/bare") // an encoder's, without a classifier
	if text := strings.Join(said, "\n"); !strings.Contains(text, "the output begins at 2.118") {
		t.Errorf("a made head is not moved: %s", text)
	}
}
