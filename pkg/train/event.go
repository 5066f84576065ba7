package train

import (
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/task"
)

// Files of a run directory that training writes.
const (
	MetricsFile = "metrics.jsonl" // the same for the same run on any machine of a kind
	TimingsFile = "timings.jsonl" // what depends on time and machine
)

// StepEvent is one optimizer step.
type StepEvent struct {
	Event string  `json:"event"`
	Step  int     `json:"step"`
	Loss  float32 `json:"loss"` // mean over the step's examples, before the update
	LR    float64 `json:"lr"`
	// Penalty is what the adapter added to the loss; absent where it has none.
	Penalty *float32 `json:"penalty,omitempty"`
	// Losses are the means over each task's examples, in a run of several.
	Losses map[string]float32 `json:"losses,omitempty"`
}

// TaskEval is what an evaluation found of one task.
type TaskEval struct {
	Task    string       `json:"task"`
	Loss    float32      `json:"loss"` // mean over the dev set
	Metrics task.Metrics `json:"metrics"`
	// OneClass is the label that every example was predicted to have.
	OneClass string `json:"one_class,omitempty"`
}

// EvalEvent is one evaluation of the dev sets. Of a run of several tasks, Loss is the
// mean of theirs, and Tasks has what else is to be known of each.
type EvalEvent struct {
	Event   string       `json:"event"`
	Step    int          `json:"step"`
	Epoch   int          `json:"epoch"`
	Loss    float32      `json:"loss"` // mean over the dev set
	Metrics task.Metrics `json:"metrics,omitempty"`
	Tasks   []TaskEval   `json:"tasks,omitempty"`
	// Criterion is, of several tasks, what is compared for the best; absent where it is undefined.
	Criterion *float64 `json:"criterion,omitempty"`
	Best      bool     `json:"best"`
	Ranks     []int64  `json:"ranks,omitempty"` // of a run that adapts them
	Open      *int     `json:"open,omitempty"`  // pair that is trained as one
	// OneClass is the label that every example was predicted to have.
	OneClass string `json:"one_class,omitempty"`
}

// SweepEvent is one sweep, or of a two-site sweep the split of one pair.
type SweepEvent struct {
	Event      string       `json:"event"`
	Step       int          `json:"step"`
	Epoch      int          `json:"epoch"`
	Sweep      int          `json:"sweep"` // from 1
	Mode       dmrg.Mode    `json:"mode"`
	Moments    dmrg.Moments `json:"moments"`        // what became of the optimizer's
	Pair       *int         `json:"pair,omitempty"` // that was split, from 0
	Open       *int         `json:"open,omitempty"` // that is trained as one from here on: its bond has no rank of its own
	Ranks      []int64      `json:"ranks"`          // afterwards
	Parameters int64        `json:"parameters"`     // of the adapter, afterwards
	*dmrg.Report
}

// SweepTiming is how long a sweep took.
type SweepTiming struct {
	Event   string  `json:"event"`
	Step    int     `json:"step"`
	Sweep   int     `json:"sweep"`
	Seconds float64 `json:"seconds"`
}

// EvalTiming is how long an evaluation took, and the training before it.
type EvalTiming struct {
	Event            string  `json:"event"`
	Step             int     `json:"step"`
	Seconds          float64 `json:"seconds"` // of training since the last such event
	SamplesPerSecond float64 `json:"samples_per_second"`
	EvalSeconds      float64 `json:"eval_seconds"`
}
