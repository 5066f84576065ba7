package train

import (
	"time"

	"github.com/metatt/metatt/pkg/dmrg"
)

// Observer is told what happens in a run, on the goroutine that trains.
type Observer interface {
	Begin(BeginInfo)
	Step(StepInfo)
	Eval(EvalInfo)
	Sweep(SweepInfo)
	Checkpoint(path string)
	// Note is something the user should know.
	Note(text string)
}

// Silent is an observer that looks at nothing: those that look at some of it embed it.
type Silent struct{}

func (Silent) Begin(BeginInfo)   {}
func (Silent) Step(StepInfo)     {}
func (Silent) Eval(EvalInfo)     {}
func (Silent) Sweep(SweepInfo)   {}
func (Silent) Checkpoint(string) {}
func (Silent) Note(string)       {}

// BeginInfo describes a run that is about to train.
type BeginInfo struct {
	Total, Done int // optimizer steps in all, and already done where a run is resumed
	Epochs      int // in all, the last perhaps in part
	BatchSize   int // examples of a step
	Examples    int // of all training sets
}

// StepInfo is one optimizer step. On a CUDA device it may come some steps late.
type StepInfo struct {
	Step, Total      int           // from 1
	Epoch            int           // from 1
	Loss, LR         float64       // the tasks' loss alone
	Penalty          float64       // that the adapter added to it
	GradientNorm     float64       // of all gradients together, before clipping
	SamplesPerSecond float64       // since training began or was resumed
	ETA              time.Duration // of the steps that are left
}

// EvalInfo is one evaluation of the dev sets.
type EvalInfo struct {
	Epoch, Step int
	Tasks       []TaskEval
	Criterion   string   // name of what is compared for the best
	Value       *float64 // of that; nil: undefined
	Seconds     float64
	IsBest      bool
	Stops       bool // patience ends the run
}

// SweepInfo is a sweep over the bonds of the adapter's tensor train, or of a two-site
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
