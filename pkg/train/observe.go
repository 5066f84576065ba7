package train

import (
	"time"

	"github.com/metatt/metatt/pkg/data"
)

// Observer is told what happens in a run, on the goroutine that trains.
type Observer interface {
	Begin(BeginInfo)
	Step(StepInfo)
	Eval(EvalInfo)
	Checkpoint(path string)
}

// BeginInfo describes a run that is about to train.
type BeginInfo struct {
	Total, Done int // optimizer steps in all, and already done where a run is resumed
	Epochs      int // in all, the last perhaps in part
	BatchSize   int
	Examples    int // of the training set
}

// StepInfo is one optimizer step.
type StepInfo struct {
	Step, Total      int // from 1
	Epoch            int // from 1
	Loss, LR         float64
	SamplesPerSecond float64       // since training began or was resumed
	ETA              time.Duration // of the steps that are left
}

// EvalInfo is one evaluation of the dev set.
type EvalInfo struct {
	Epoch, Step int
	Metrics     data.Metrics
	Seconds     float64
	IsBest      bool
}
