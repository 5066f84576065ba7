package train_test

import (
	"math"
	"testing"

	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/traintest"
)

// A step's dropout masks are the examples': they are the same however the examples are
// divided into micro-batches, and so are the losses but for rounding.
func TestMasksAreTheExamples(t *testing.T) {
	losses := func(batchSize, accumulate int, drop encoder.Dropout) []float64 {
		var all []float64
		s := traintest.Setup(t, map[string]int{"mrpc": 24})
		s.Options.BatchSize, s.Options.Accumulate, s.Dropout = batchSize, accumulate, drop
		s.Observer = traintest.Silent{OnStep: func(info train.StepInfo) { all = append(all, info.Loss) }}
		traintest.Train(t, s)
		return all
	}
	drop := encoder.Dropout{Hidden: 0.3, Attention: 0.2, Classifier: 0.25}
	whole, none := losses(12, 1, drop), losses(12, 1, encoder.Dropout{})
	for _, accumulate := range []int{2, 3, 12} {
		for k, loss := range losses(12/accumulate, accumulate, drop) {
			if !(math.Abs(loss-whole[k]) <= 2e-6*whole[k]) {
				t.Errorf("%d micro-batches: step %d: the loss is %v, %v in one", accumulate, k+1, loss, whole[k])
			}
		}
	}
	for k := range whole {
		if math.Abs(none[k]-whole[k]) < 1e-3*whole[k] {
			t.Errorf("step %d: dropout changes nothing", k+1)
		}
	}
}
