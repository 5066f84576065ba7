package repeat

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"

	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/train"
)

// Comparison is what of two runs came out the same.
type Comparison struct {
	Dir   string // of the second
	Steps int    // that both have
	// Short says why these are not all that the first was asked for; empty: they are.
	Short       string
	Losses      Series // and what the adapter adds to them
	Rates       Series // learning rates
	Evaluations Series
	Figures     []Figure // of evaluations, that differ
	Sweeps      Series
	Ranks       [2][]int64 // in the end; nil: of no run that adapts them, or not said
	Adapters    []Adapter  // that both keep of the same step
	NotKept     []string   // of one run, why its adapter is not compared
}

// Series are events of one kind.
type Series struct {
	Compared, Same int
	First          int     // step of the first that is not the same; 0: all are
	Largest        float64 // difference of a number
	At             int     // the step of that
}

// Figure is a number of an evaluation.
type Figure struct {
	Epoch, Step int
	Name        string // "accuracy", of several tasks "rte accuracy"
	Then, Now   string
}

// Same: every number came out the same.
func (c *Comparison) Same() bool {
	for _, s := range []Series{c.Losses, c.Rates, c.Evaluations, c.Sweeps} {
		if s.Same < s.Compared {
			return false
		}
	}
	return slices.Equal(c.Ranks[0], c.Ranks[1]) && !slices.ContainsFunc(c.Adapters, func(a Adapter) bool { return a.Same < a.Tensors })
}

// add counts an event of a step, whose numbers differ by that.
func (s *Series) add(step int, same bool, difference float64) {
	s.Compared++
	if same {
		s.Same++
		return
	}
	if s.First == 0 {
		s.First = step
	}
	if s.At == 0 || difference > s.Largest {
		s.Largest, s.At = difference, step
	}
}

// compare compares two runs as far as both went.
func compare(first, second *record.Run) (*Comparison, error) {
	c := &Comparison{Dir: second.Dir, Steps: min(first.Last(), second.Last())}
	switch {
	case second.Last() < first.Last():
		c.Short = fmt.Sprintf("the repetition was stopped; the run's record has %d", first.Last())
	case first.State != record.Ended:
		c.Short = fmt.Sprintf("as far as the record goes: the run is %s", first.State)
	}
	c.compareSteps(first.Steps, second.Steps)
	ended := first.State == record.Ended && second.State == record.Ended
	// An event of the last step may be what one of the runs did not come to.
	counts := func(step int) bool { return step < c.Steps || step == c.Steps && ended }
	c.compareEvals(first.Evals, second.Evals, counts)
	c.compareSweeps(first.Sweeps, second.Sweeps, counts)
	if ended {
		c.Ranks = [2][]int64{first.Summary.Ranks, second.Summary.Ranks}
	}
	return c, c.compareAdapters(first, second)
}

func (c *Comparison) compareSteps(first, second []train.StepEvent) {
	for i := range min(len(first), len(second)) {
		a, b := first[i], second[i]
		c.Rates.add(a.Step, a.LR == b.LR, math.Abs(a.LR-b.LR))
		difference := distance(a.Loss, b.Loss)
		if a.Penalty != nil && b.Penalty != nil {
			difference = max(difference, distance(*a.Penalty, *b.Penalty))
		}
		for name := range a.Losses {
			difference = max(difference, distance(a.Losses[name], b.Losses[name]))
		}
		same := a.Step == b.Step && a.Loss == b.Loss && reflect.DeepEqual(a.Penalty, b.Penalty) && maps.Equal(a.Losses, b.Losses)
		c.Losses.add(a.Step, same, difference)
	}
}

func distance(a, b float32) float64 { return math.Abs(float64(a) - float64(b)) }

func (c *Comparison) compareEvals(first, second []train.EvalEvent, counts func(step int) bool) {
	of := map[int]train.EvalEvent{}
	for _, e := range second {
		of[e.Step] = e
	}
	for _, a := range first {
		b, both := of[a.Step]
		delete(of, a.Step)
		if !both {
			if counts(a.Step) {
				c.Evaluations.add(a.Step, false, 0)
				c.Figures = append(c.Figures, Figure{a.Epoch, a.Step, "", "an evaluation", "none"})
			}
			continue
		}
		differ, largest := figures(a, b)
		c.Figures = append(c.Figures, differ...)
		c.Evaluations.add(a.Step, reflect.DeepEqual(a, b), largest)
	}
	for _, step := range slices.Sorted(maps.Keys(of)) {
		if counts(step) {
			c.Evaluations.add(step, false, 0)
			c.Figures = append(c.Figures, Figure{of[step].Epoch, step, "", "none", "an evaluation"})
		}
	}
}

// figures are those of an evaluation that differ, and by how much at most.
func figures(a, b train.EvalEvent) (differ []Figure, largest float64) {
	add := func(name, then, now string, difference float64) {
		if then != now {
			differ = append(differ, Figure{a.Epoch, a.Step, name, then, now})
			largest = max(largest, difference)
		}
	}
	loss := func(name string, then, now float32) {
		add(name, fmt.Sprint(then), fmt.Sprint(now), distance(then, now))
	}
	metrics := func(of string, then, now task.Metrics) {
		for i := range min(len(then), len(now)) {
			add(of+then[i].Name, value(then[i]), value(now[i]), math.Abs(then[i].Value-now[i].Value))
		}
	}
	loss("loss", a.Loss, b.Loss)
	metrics("", a.Metrics, b.Metrics)
	for i := range min(len(a.Tasks), len(b.Tasks)) {
		of := a.Tasks[i].Task + " "
		loss(of+"loss", a.Tasks[i].Loss, b.Tasks[i].Loss)
		metrics(of, a.Tasks[i].Metrics, b.Tasks[i].Metrics)
	}
	return differ, largest
}

func value(m task.Metric) string {
	if m.Undefined {
		return "undefined"
	}
	return fmt.Sprint(m.Value)
}

// compareSweeps compares, in their order, ranks, spectra and errors.
func (c *Comparison) compareSweeps(first, second []train.SweepEvent, counts func(step int) bool) {
	for i := range max(len(first), len(second)) {
		switch {
		case i >= len(second):
			if counts(first[i].Step) {
				c.Sweeps.add(first[i].Step, false, 0)
			}
		case i >= len(first):
			if counts(second[i].Step) {
				c.Sweeps.add(second[i].Step, false, 0)
			}
		default:
			c.Sweeps.add(first[i].Step, reflect.DeepEqual(first[i], second[i]), 0)
		}
	}
}
