package run_test

import (
	"testing"

	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/run/runtest"
)

// A RoBERTa trains with an adapter and both layers of its head, and what is
// saved predicts what training evaluated.
func TestRoBERTa(t *testing.T) {
	o := tiny(t, "model.path="+runtest.TinyRoBERTa(t), "data.max_length=64", "adapter.targets=all", "train.max_steps=9")
	summary, err := run.Train(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(12*12 + 12 + 2*12 + 2); summary.HeadParams != want {
		t.Errorf("%d head parameters, want %d", summary.HeadParams, want)
	}
	predictsWhatWasEvaluated(t, summary, predict.Options{})
}
