package train_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/traintest"
)

// events are those of a kind in metrics.jsonl, as one struct.
func events(t *testing.T, dir, kind string) (list []struct {
	Event       string
	Step, Epoch int
	Loss        float64
	Losses      map[string]float64
	Best        bool
}) {
	t.Helper()
	for line := range strings.Lines(traintest.Metrics(t, dir)) {
		list = append(list, struct {
			Event       string
			Step, Epoch int
			Loss        float64
			Losses      map[string]float64
			Best        bool
		}{})
		last := &list[len(list)-1]
		if err := json.Unmarshal([]byte(line), last); err != nil {
			t.Fatal(err)
		}
		if last.Event != kind {
			list = list[:len(list)-1]
		}
	}
	return list
}

// Evaluations come every so many steps, or each epoch, and in the end.
func TestEvaluationsAreDue(t *testing.T) {
	for _, c := range []struct {
		every, steps int
		want         []int
	}{{0, 11, []int{5, 10, 11}}, {3, 11, []int{3, 6, 9, 11}}, {1, 2, []int{1, 2}}, {100, 4, []int{4}}, {4, 8, []int{4, 8}}} {
		s := traintest.Setup(t, map[string]int{"cola": 23}) // 5 batches
		s.Options.EvalEvery, s.Options.Steps = c.every, c.steps
		result := traintest.Train(t, s)
		var at []int
		for _, e := range events(t, s.Dir, "eval") {
			at = append(at, e.Step)
			if epoch := (e.Step + 4) / 5; e.Epoch != epoch {
				t.Errorf("%+v: step %d is of epoch %d, want %d", c, e.Step, e.Epoch, epoch)
			}
		}
		if !slices.Equal(at, c.want) || result.Last == nil || result.Steps != c.steps {
			t.Errorf("%+v: after %v", c, at)
		}
		text, err := os.ReadFile(filepath.Join(s.Dir, train.TimingsFile))
		if err != nil || strings.Count(string(text), `{"event":"eval","step":`) != len(c.want) {
			t.Errorf("%+v: timings (%v)\n%s", c, err, text)
		}
	}
}

// A run whose patience is at its end with the last step was not stopped.
func TestPatienceEndsWithTheRun(t *testing.T) {
	s := traintest.Setup(t, map[string]int{"cola": 23})
	s.Options.Steps, s.Options.EvalEvery, s.Options.Patience = 8, 2, 3
	s.Options.Schedule = optim.Schedule{} // no evaluation is better than the first
	if result := traintest.Train(t, s); result.Steps != 8 || result.Stopped {
		t.Errorf("%d steps, stopped %v", result.Steps, result.Stopped)
	}
}

// Patience ends a run after so many evaluations in a row without a new best, counted over
// resumptions; what was recorded and saved is what it is without them.
func TestPatience(t *testing.T) {
	setup := func(patience int) train.Setup {
		s := traintest.Setup(t, map[string]int{"cola": 23})
		s.Options.Steps, s.Options.EvalEvery, s.Options.Patience, s.Options.CheckpointEvery = 50, 2, patience, 3
		s.Options.Schedule = optim.Schedule{} // no evaluation is better than the first
		return s
	}
	for patience, want := range map[int]int{0: 50, 1: 4, 3: 8} {
		whole := setup(patience)
		result := traintest.Train(t, whole)
		if result.Steps != want || result.Stopped != (patience > 0) || result.Best.Step != 2 {
			t.Errorf("patience %d: %d steps, stopped %v, best %+v", patience, result.Steps, result.Stopped, result.Best)
		}
		if patience == 0 {
			continue
		}
		for stop := 1; stop < want; stop++ {
			s := traintest.Interrupted(t, setup(patience), stop)
			again := traintest.Train(t, s)
			if again.Steps != want || !again.Stopped || again.Best.Step != 2 || traintest.Metrics(t, s.Dir) != traintest.Metrics(t, whole.Dir) {
				t.Errorf("patience %d, stopped after step %d: %d steps, stopped %v, best %+v", patience, stop, again.Steps, again.Stopped, again.Best)
			}
		}
		// One that has ended stays so.
		if again := traintest.Train(t, traintest.Resumed(t, whole)); again.Steps != want || !again.Stopped {
			t.Errorf("patience %d: gone on to step %d", patience, again.Steps)
		}
	}
}
