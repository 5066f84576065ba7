package train

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/task"
)

// state is what a run goes on from, beside tensors. Builds before laps, Last and
// PeakBytes wrote none of them: of such a run they count from here on.
type state struct {
	Step         int        `json:"step"`      // updates done
	Evaluated    bool       `json:"evaluated"` // the evaluation due after Step is done
	MetricsBytes int64      `json:"metrics_bytes"`
	TimingsBytes int64      `json:"timings_bytes"`
	Seconds      float64    `json:"seconds"` // of the run so far
	Best         *Best      `json:"best,omitempty"`
	Last         []TaskEval `json:"last_evaluation,omitempty"` // with these ranks
	Waited       int        `json:"waited,omitempty"`          // evaluations since the best
	Stopped      bool       `json:"stopped,omitempty"`         // by patience, before all steps
	laps
	PeakBytes int64                      `json:"peak_bytes"` // largest resident memory of a process of the run
	Hooks     map[string]json.RawMessage `json:"hooks,omitempty"`
	Optimizer []optim.Progress           `json:"optimizer"` // how far it is with each parameter
}

// earlier is what builds before tasks and hooks wrote in their place.
type earlier struct {
	Last   task.Metrics `json:"last"`
	Events int          `json:"events"` // of the rank plan
}

func readState(checkpoint string) (s state, err error) {
	path := filepath.Join(checkpoint, stateFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	var old earlier
	for _, into := range []any{&s, &old} {
		if err := json.Unmarshal(text, into); err != nil {
			return s, fmt.Errorf("%s: %w", path, err)
		}
	}
	if old.Last != nil && s.Last == nil {
		s.Last = []TaskEval{{Metrics: old.Last}}
	}
	if old.Events != 0 && s.Hooks == nil {
		s.Hooks = map[string]json.RawMessage{"ranks": fmt.Appendf(nil, `{"events":%d}`, old.Events)}
	}
	if s.Step < 0 || s.MetricsBytes < 0 || s.TimingsBytes < 0 || s.Waited < 0 || s.Trained.Samples < 0 || s.Lap.Samples < 0 {
		return s, fmt.Errorf("%s: a negative count", path)
	}
	return s, nil
}

// check is an error where a state is not one of this run.
func (s state) check(options Options) error {
	if s.Step > options.Steps {
		return fmt.Errorf("%d steps are done, the run has %d", s.Step, options.Steps)
	}
	for i, p := range s.Optimizer {
		if p.Steps < 0 || p.Rewarm < 0 || p.Steps > int64(s.Step) {
			return fmt.Errorf("%d updates of parameter %d, of them %d to warm up, in %d steps", p.Steps, i, p.Rewarm, s.Step)
		}
	}
	return nil
}
