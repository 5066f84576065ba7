package train

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
)

// Ranks is how a run adapts the ranks of an adapter's tensor train.
type Ranks struct {
	dmrg.Plan
	ProbeBatches    int // of BatchSize training examples each, always the same
	GradientBatches int // a direction to grow in is looked for with
}

// sweeper adapts ranks when they are due.
type sweeper struct {
	*Ranks
	train  adapter.TensorTrain  // nil: stacks are
	stacks adapter.TensorTrains // nil: train is
	events []dmrg.Event
	places []int // of the cores among the parameters
	probe  []int // examples of the probe loss; none where it is not looked at
}

// Check says what is wrong with adapting an adapter so in a run of so many steps, if
// anything is.
func (r *Ranks) Check(a adapter.Adapter, steps int) error {
	method := a.Config().Method
	if frozen := adapter.FrozenTasks(a); len(frozen) > 0 {
		return fmt.Errorf("mode %s: a sweep would change %s, which are frozen", r.Mode, strings.Join(frozen, ", "))
	}
	bonds, least := 1, int64(0)
	switch a := a.(type) {
	case adapter.TensorTrain:
		if slices.Equal(r.At, []int{0}) && (r.Mode == dmrg.Canonical || r.Mode == dmrg.Paper) && slices.ContainsFunc(a.Cores(), isZero) {
			return fmt.Errorf("at: the only sweep is due before the first step, when the update is still zero and there is nothing to truncate")
		}
		bonds = len(a.Cores()) - 1
		for _, core := range a.Cores() {
			least += core.Size(1)
		}
	case adapter.TensorTrains:
		if r.Mode == dmrg.TwoSite || r.Mode == dmrg.Enrich || r.Moments == dmrg.Transport {
			return fmt.Errorf("mode %s with moments %s: the trains of %s share one rank, which modes %s, %s and %s adapt, with moments %s",
				r.Mode, r.Moments, method, dmrg.Canonical, dmrg.Paper, dmrg.Restart, dmrg.Reset)
		}
		for _, cores := range a.Stacks() {
			least += dmrg.StackEntries([]dmrg.Stack{cores}, 1)
		}
	default:
		return fmt.Errorf("mode %s: %s has no tensor train whose ranks could be adapted", r.Mode, method)
	}
	if r.Tol > 0 && r.ProbeBatches < 1 || r.Mode == dmrg.Enrich && r.GradientBatches < 1 {
		return fmt.Errorf("%d probe and %d gradient batches: what is looked at needs one or more", r.ProbeBatches, r.GradientBatches)
	}
	return r.Plan.Check(bonds, least, steps)
}

func isZero(t *torch.Tensor) bool {
	var largest float64
	torch.NoGrad(func() { largest = t.Abs().Max().Item() })
	return largest == 0
}

// newSweeper is nil for a run without a plan.
func newSweeper(s Setup) (*sweeper, error) {
	if s.Ranks == nil {
		return nil, nil
	}
	if err := s.Ranks.Check(s.Adapter, s.Options.Steps); err != nil {
		return nil, err
	}
	w := &sweeper{Ranks: s.Ranks}
	bonds := 1
	switch a := s.Adapter.(type) {
	case adapter.TensorTrain:
		w.train, bonds = a, len(a.Cores())-1
		for _, core := range a.Cores() {
			w.places = append(w.places, slices.IndexFunc(a.Parameters(), func(p adapter.Parameter) bool { return p.Tensor == core }))
		}
	case adapter.TensorTrains:
		w.stacks = a
	}
	w.events = s.Ranks.Events(bonds)
	if s.Ranks.Tol > 0 {
		// An order of no epoch: what is probed does not depend on when.
		order := s.Train.Order(s.Options.Seed, math.MaxInt32, true)
		w.probe = order[:min(s.Ranks.ProbeBatches*s.Options.BatchSize, len(order))]
	}
	return w, nil
}

// open is the pair that is trained as one after so many events, or none, and
// the step that it was opened after.
func (w *sweeper) open(done int) (pair, since int) {
	if w == nil || done == 0 {
		return dmrg.NoPair, 0
	}
	e := w.events[done-1]
	return e.Open, e.Step
}

// adaptCores does what is due after the steps done so far.
func (t *trainer) adaptCores() error {
	w := t.sweeper
	for w != nil && t.state.Events < len(w.events) && w.events[t.state.Events].Step == t.state.Step {
		e := w.events[t.state.Events]
		var err error
		torch.Scoped(func() { err = t.adapt(e) })
		if err != nil {
			return fmt.Errorf("step %d: sweep %d: %w", t.state.Step, e.Sweep+1, err)
		}
	}
	return nil
}

func (t *trainer) adapt(e dmrg.Event) error {
	began := time.Now()
	w := t.sweeper
	before := t.ranks()
	event := SweepEvent{Event: "sweep", Step: t.state.Step, Epoch: t.epoch(t.state.Step), Sweep: e.Sweep + 1, Mode: w.Mode, Moments: w.Moments}
	if e.Open != dmrg.NoPair {
		event.Open = &e.Open
	}
	adapt := t.adaptTrain
	if w.stacks != nil {
		adapt = t.adaptStacks
	}
	if err := adapt(e, &event); err != nil {
		return err
	}
	if err := t.checkFinite(); err != nil {
		return err
	}
	event.Ranks, event.Parameters = t.ranks(), adapter.Count(t.Adapter.Parameters())
	if !slices.Equal(before, event.Ranks) {
		if err := t.forgetBest(e); err != nil {
			return err
		}
	}
	t.state.Events++
	t.activate()
	seconds := time.Since(began).Seconds()
	if err := t.timings.append(sweepTiming{"sweep", t.state.Step, e.Sweep + 1, seconds}); err != nil {
		return err
	}
	t.Observer.Sweep(SweepInfo{Event: e, Step: t.state.Step, Epoch: event.Epoch, Mode: w.Mode, Report: event.Report,
		Ranks: event.Ranks, Parameters: event.Parameters, Seconds: seconds})
	return t.metrics.append(event)
}

func (t *trainer) adaptTrain(e dmrg.Event, event *SweepEvent) error {
	x, err := dmrg.NewTrain(t.sweeper.train.Cores())
	if err != nil {
		return err
	}
	switch t.sweeper.Mode {
	case dmrg.TwoSite:
		return t.nextPair(x, e, event)
	case dmrg.Restart:
		return t.replaceCores(x, t.sweeper.Rewarm)
	}
	return t.sweep(x, e, event)
}

// sweep truncates all bonds, and grows them where the mode does.
func (t *trainer) sweep(x dmrg.Train, e dmrg.Event, event *SweepEvent) error {
	w := t.sweeper
	o, err := w.Sweep(e.Sweep)
	if err != nil {
		return err
	}
	if w.Moments == dmrg.Transport {
		x = x.Tracked()
	}
	o.Probe = t.probeLoss
	y, report, err := dmrg.Sweep(x, o)
	if err != nil {
		return err
	}
	if w.Mode == dmrg.Enrich && !e.Last {
		var added []int64
		if y, added, err = dmrg.Enriched(y, dmrg.EnrichOptions{Grow: w.Grow, Gradient: t.coreGradient}); err != nil {
			return err
		}
		for b := range report.Bonds {
			report.Bonds[b].After, report.Bonds[b].Added = y.Ranks()[b], added[b]
		}
	}
	if w.Mode == dmrg.Enrich { // growth begins and ends with a gauge of its own
		if y, err = dmrg.Balanced(y, w.Balance); err != nil {
			return err
		}
	}
	event.Report = &report
	if report.Skipped && w.Mode != dmrg.Enrich {
		return nil // nothing was changed, nor looked at
	}
	return t.replaceCores(y, w.Rewarm)
}

// nextPair splits the pair that was trained, and opens the next.
func (t *trainer) nextPair(x dmrg.Train, e dmrg.Event, event *SweepEvent) error {
	w := t.sweeper
	if e.Close != dmrg.NoPair {
		o, err := w.Sweep(e.Sweep)
		if err != nil {
			return err
		}
		split := dmrg.SplitOptions{Truncation: o.Truncation, Tol: o.Tol, Probe: t.probeLoss,
			Last: e.Open == dmrg.NoPair, Budget: o.Budget, Balance: o.Balance}
		var report dmrg.Report
		if x, report, err = dmrg.Close(x, e.Close, split, e.Side()); err != nil {
			return err
		}
		event.Pair, event.Report = &e.Close, &report
	}
	if e.Open != dmrg.NoPair {
		x, err := dmrg.Open(x, e.Open)
		if err != nil {
			return err
		}
		return t.replaceCores(x, 0) // a pair has a schedule of its own
	}
	return t.replaceCores(x, w.Rewarm)
}

// replaceCores gives the adapter other cores and lets the optimizer follow: with
// the gauges of a tracked train, else from zero moments, the learning rate rising
// over rewarm steps.
func (t *trainer) replaceCores(y dmrg.Train, rewarm int) error {
	w := t.sweeper
	var moments []dmrg.Moment
	if gauges := y.Gauges(); gauges != nil {
		for _, i := range w.places {
			first, second := t.optimizer.Moments(i)
			weight1, weight2 := t.optimizer.Weights(i)
			moments = append(moments, dmrg.Moment{First: first, Second: second, Weight1: weight1, Weight2: weight2})
		}
		var err error
		if moments, err = dmrg.Transported(gauges, moments); err != nil {
			return err
		}
	}
	if err := w.train.SetCores(y.Cores()); err != nil {
		return err
	}
	t.list()
	for k, i := range w.places {
		if moments == nil {
			t.optimizer.Replace(i, t.parameters[i].Tensor, nil, nil, int64(rewarm))
			continue
		}
		t.optimizer.Replace(i, t.parameters[i].Tensor, moments[k].First, moments[k].Second, 0)
	}
	return nil
}

// ranks is the trains' in a run that adapts them.
func (t *trainer) ranks() []int64 {
	if t.sweeper == nil {
		return nil
	}
	return adapter.TrainRanks(t.Adapter)
}

// activate settles which parameters are trained: of cores, where a pair is open,
// the pair alone.
func (t *trainer) activate() {
	t.active = slices.Repeat([]bool{true}, len(t.parameters))
	pair, _ := t.sweeper.open(t.state.Events)
	if pair == dmrg.NoPair {
		return
	}
	for k, i := range t.sweeper.places {
		t.active[i] = k == pair
	}
}

// scalePair sets the learning rate of the open pair for the step after step.
func (t *trainer) scalePair(step int) {
	pair, since := t.sweeper.open(t.state.Events)
	if pair == dmrg.NoPair {
		return
	}
	i := t.sweeper.places[pair]
	t.optimizer.Scale(i, t.sweeper.PairRate(step-since, t.parameters[i].Tensor.Numel(), t.Options.Schedule.Peak))
}

// heldOut is indices without those of the probe while a pair is open: its rank is
// chosen by examples that it was not trained on, but for a batch of nothing else.
func (t *trainer) heldOut(indices []int) []int {
	if pair, _ := t.sweeper.open(t.state.Events); pair == dmrg.NoPair {
		return indices
	}
	rest := slices.DeleteFunc(slices.Clone(indices), func(i int) bool { return slices.Contains(t.sweeper.probe, i) })
	if len(rest) == 0 {
		return indices // better those than no step
	}
	return rest
}

// probeLoss is the mean loss of the probe's examples with those cores, without
// dropout. The adapter keeps the cores.
func (t *trainer) probeLoss(x dmrg.Train) (loss float64, err error) {
	if err := t.sweeper.train.SetCores(x.Cores()); err != nil {
		return 0, err
	}
	return t.probeAdapter()
}

// probeAdapter is the mean loss of the probe's examples with the adapter as it is.
func (t *trainer) probeAdapter() (loss float64, err error) {
	n := len(t.sweeper.probe)
	err = t.batches(t.sweeper.probe, func(batch data.Batch) error {
		in, err := input(t.Model, batch)
		if err != nil {
			return err
		}
		torch.NoGrad(func() {
			pass := t.Adapter.Begin(adapter.Step{DType: t.DType, Task: t.Task, Tokens: int64(len(batch.IDs))})
			mean := t.loss(t.Model.Forward(in, pass, encoder.Dropout{}), batch).Item()
			loss += mean * float64(len(batch.Indices)) / float64(n)
		})
		return nil
	})
	return loss, err
}

// coreGradient is ∂loss/∂core k with those cores, the mean over the gradient
// batches, without dropout. The adapter keeps the cores.
func (t *trainer) coreGradient(x dmrg.Train, k int) (*torch.Tensor, error) {
	if err := t.sweeper.train.SetCores(x.Cores()); err != nil {
		return nil, err
	}
	core := t.sweeper.train.Cores()[k]
	var sum *torch.Tensor
	torch.NoGrad(func() { sum = core.Detach().ZerosLike() })
	order := t.Train.Order(t.Options.Seed, math.MaxInt32-1-t.state.Events, true)
	order = order[:min(t.sweeper.GradientBatches*t.Options.BatchSize, len(order))]
	err := t.batches(order, func(batch data.Batch) error {
		in, err := input(t.Model, batch)
		if err != nil {
			return err
		}
		pass := t.Adapter.Begin(adapter.Step{DType: t.DType, Task: t.Task, Tokens: int64(len(batch.IDs))})
		g := torch.Gradients(t.loss(t.Model.Forward(in, pass, encoder.Dropout{}), batch), []*torch.Tensor{core})[0]
		torch.NoGrad(func() { sum.AddInPlace(g.MulScalar(float64(len(batch.Indices)) / float64(len(order)))) })
		return nil
	})
	return sum, err
}

// batches calls f with the examples in batches, each in a scope of its own.
func (t *trainer) batches(examples []int, f func(data.Batch) error) (err error) {
	for len(examples) > 0 && err == nil {
		n := min(t.Options.BatchSize, len(examples))
		torch.Scoped(func() { err = f(t.Train.Batch(examples[:n])) })
		examples = examples[n:]
	}
	return err
}
