package train_test

import (
	"context"
	"math"
	"testing"

	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/traintest"
)

// Steps over static buffers, whose batches are filled up to buckets, are the steps of a
// CUDA graph made on the CPU: they come to the same losses but for the rounding of
// products of other sizes.
func TestStaticStepsAreTheSame(t *testing.T) {
	losses := func(static bool) []float64 {
		var all []float64
		s := traintest.Setup(t, map[string]int{"mrpc": 23, "stsb": 9})
		s.Static = static
		s.Observer = traintest.Silent{OnStep: func(info train.StepInfo) { all = append(all, info.Loss) }}
		if _, err := train.Run(context.Background(), s); err != nil {
			t.Fatal(err)
		}
		return all
	}
	exact, static := losses(false), losses(true)
	if len(exact) < 5 || len(exact) != len(static) {
		t.Fatalf("%d and %d steps", len(exact), len(static))
	}
	for k, want := range exact {
		if math.Abs(static[k]-want) > 1e-6*want {
			t.Errorf("step %d: the loss is %v, %v over exact batches", k+1, static[k], want)
		}
	}
}
