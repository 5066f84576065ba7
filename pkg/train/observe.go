package train

import (
	"time"

	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/task"
)

// Observer is told what happens in a run, on the goroutine that trains.
type Observer interface {
	Begin(BeginInfo)
	Step(StepInfo)
	Eval(EvalInfo)
	Sweep(SweepInfo)
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
	Step, Total      int           // from 1
	Epoch            int           // from 1
	Loss, LR         float64       // the task's loss alone
	Penalty          float64       // that the adapter added to it
	SamplesPerSecond float64       // since training began or was resumed
	ETA              time.Duration // of the steps that are left
}

// EvalInfo is one evaluation of the dev set.
type EvalInfo struct {
	Epoch, Step int
	Metrics     task.Metrics
	Seconds     float64
	IsBest      bool
	OneClass    string // the label that every example was predicted to have; "" where they differ
}

// SweepInfo is a sweep over the bonds of the adapter's train, or of a two-site
// sweep the step from one pair to the next.
type SweepInfo struct {
	dmrg.Event
	Step, Epoch int
	Mode        dmrg.Mode
	Report      *dmrg.Report // nil: nothing was truncated
	Ranks       []int64      // afterwards
	Parameters  int64        // of the adapter, afterwards
	Seconds     float64
}
