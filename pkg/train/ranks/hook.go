package ranks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// Hook adapts ranks when they are due. Use [New].
type Hook struct {
	Plan
	*train.Trainer
	cores  adapter.TensorTrain  // nil: stacks are adapted
	stacks adapter.TensorTrains // nil: cores are
	events []dmrg.Event
	places []int         // of the cores among the adapter's parameters
	probe  []train.Micro // that the probe loss is of; none where it is not looked at
	done   int           // events
}

// New is the hook of a plan, for one run.
func New(plan Plan) *Hook { return &Hook{Plan: plan} }

// Name implements [train.Stateful].
func (*Hook) Name() string { return "ranks" }

// state is the hook's in a checkpoint.
type state struct {
	Events int `json:"events"` // of the plan that are done
}

// State implements [train.Stateful].
func (h *Hook) State() any { return state{h.done} }

// Restore implements [train.Stateful].
func (h *Hook) Restore(saved json.RawMessage) error {
	var s state
	err := json.Unmarshal(saved, &s)
	h.done = s.Events
	return err
}

// Begin implements [train.Hook].
func (h *Hook) Begin(t *train.Trainer) (err error) {
	h.Trainer = t
	if err := h.Check(t.Adapter, t.Options.Steps); err != nil {
		return err
	}
	bonds := 1
	switch a := t.Adapter.(type) {
	case adapter.TensorTrain:
		h.cores, bonds = a, len(a.Cores())-1
		for _, core := range a.Cores() {
			h.places = append(h.places, slices.IndexFunc(a.Parameters(), func(p adapter.Parameter) bool { return p.Tensor == core }))
		}
	case adapter.TensorTrains:
		h.stacks = a
	}
	h.events = h.Events(bonds)
	if err := h.checkDone(); err != nil {
		return err
	}
	if h.Tol > 0 {
		if h.probe, err = t.Source().Sample(h.ProbeBatches, 0); err != nil {
			return err
		}
	}
	t.Describe(h.describe)
	h.train()
	return nil
}

// checkDone is an error where a checkpoint has not what was due by its step.
func (h *Hook) checkDone() error {
	due := 0
	for due < len(h.events) && h.events[due].Step <= h.Step() {
		due++
	}
	if h.Resume != nil && h.done != due {
		return &train.CheckpointError{Err: fmt.Errorf("%s: %d events of the rank plan are done, after step %d it is %d", h.Resume.Dir, h.done, h.Step(), due)}
	}
	return nil
}

// describe adds the ranks to the event of an evaluation.
func (h *Hook) describe(e *train.EvalEvent) {
	e.Ranks = adapter.TrainRanks(h.Adapter)
	if pair, _ := h.open(); pair != dmrg.NoPair {
		e.Open = &pair
	}
}

// open is the pair that is trained as one, or none, and the step that it was opened
// after.
func (h *Hook) open() (pair, since int) {
	if h.done == 0 {
		return dmrg.NoPair, 0
	}
	e := h.events[h.done-1]
	return e.Open, e.Step
}

// After implements [train.Hook].
func (h *Hook) After(context.Context, *train.Trainer) error {
	for h.done < len(h.events) && h.events[h.done].Step == h.Step() {
		e := h.events[h.done]
		if err := h.Settle(); err != nil {
			return err
		}
		var err error
		torch.Scoped(func() { err = h.adapt(e) })
		if err != nil {
			return fmt.Errorf("step %d: sweep %d: %w", h.Step(), e.Sweep+1, err)
		}
	}
	if pair, since := h.open(); pair != dmrg.NoPair {
		i := h.places[pair]
		size := h.Adapter.Parameters()[i].Tensor.Numel()
		h.Optimizer().SetScale(i, h.PairRate(h.Step()-since, size, h.Options.Schedule.Peak))
	}
	return nil
}

// adapt does what an event says.
func (h *Hook) adapt(e dmrg.Event) error {
	began := time.Now()
	before := adapter.TrainRanks(h.Adapter)
	event := train.SweepEvent{Event: "sweep", Step: h.Step(), Epoch: h.Epoch(h.Step()), Sweep: e.Sweep + 1, Mode: h.Mode, Moments: h.Moments}
	if e.Open != dmrg.NoPair {
		event.Open = &e.Open
	}
	adapt := h.adaptCores
	if h.stacks != nil {
		adapt = h.adaptStacks
	}
	r, err := h.once(e, func() (*replacement, error) { return adapt(e, &event) })
	if err == nil && r != nil {
		err = h.replace(r)
	}
	if err != nil {
		return err
	}
	if err := h.CheckFinite(); err != nil {
		return err
	}
	event.Ranks, event.Parameters = adapter.TrainRanks(h.Adapter), adapter.Count(h.Adapter.Parameters())
	if !slices.Equal(before, event.Ranks) {
		kept := "" // of evaluations between pairs nothing is
		if e.Close == dmrg.NoPair {
			kept = fmt.Sprintf("best-before-sweep-%d", e.Sweep+1)
		}
		if err := h.ForgetBest(kept); err != nil {
			return err
		}
	}
	h.done++
	h.train()
	seconds := time.Since(began).Seconds()
	if err := h.Time(train.SweepTiming{Event: "sweep", Step: h.Step(), Sweep: e.Sweep + 1, Seconds: seconds}); err != nil {
		return err
	}
	h.Observer.Sweep(train.SweepInfo{Event: e, Step: h.Step(), Epoch: event.Epoch, Mode: h.Mode, Report: event.Report,
		Ranks: event.Ranks, Parameters: event.Parameters, Seconds: seconds})
	return h.Record(event)
}

// train settles what the steps to come train: of cores, where a pair is open, the pair
// alone, and on other examples than the probe's, which choose its rank. No run ends
// before all events are done.
func (h *Hook) train() {
	h.Await(h.done < len(h.events))
	pair, _ := h.open()
	for k, i := range h.places {
		h.Freeze(i, pair != dmrg.NoPair && k != pair)
	}
	if pair != dmrg.NoPair {
		h.Source().HoldOut(h.probe)
		return
	}
	h.Source().HoldOut(nil)
}
