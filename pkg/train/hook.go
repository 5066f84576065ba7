package train

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"

	"github.com/metatt/metatt/pkg/optim"
)

// Hook acts between steps. It runs inside [torch.Do].
type Hook interface {
	// Begin is called once, before the first step or the first after a resumption.
	Begin(t *Trainer) error
	// After is called before the first step and after each. What it hands to the
	// run ([Trainer.Record] and the like) comes after all that was there before.
	After(ctx context.Context, t *Trainer) error
}

// Stateful is a hook with a state that a resumed run begins with.
type Stateful interface {
	Hook
	// Name is its state's among those of a checkpoint.
	Name() string
	// State is a JSON value.
	State() any
	// Restore is called before Begin, with what State was.
	Restore(state json.RawMessage) error
}

// hooks are a run's, in order.
type hooks []Hook

func newHooks(t *Trainer) (hooks, error) {
	all := hooks{t.journal, &shrinking{}}
	all = append(all, t.Hooks...)
	all = append(all, evaluation{}, checkpoints{})
	if err := all.restore(t.state.Hooks); err != nil {
		return nil, &CheckpointError{fmt.Errorf("%s: %w", filepath.Join(t.Resume.Dir, stateFile), err)}
	}
	for _, hook := range all {
		if err := hook.Begin(t); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// restore hands out the states that a checkpoint has. None may be left.
func (h hooks) restore(states map[string]json.RawMessage) error {
	left := maps.Clone(states)
	for _, hook := range h {
		s, ok := hook.(Stateful)
		if !ok || states[s.Name()] == nil {
			continue
		}
		if err := s.Restore(states[s.Name()]); err != nil {
			return fmt.Errorf("%s: %w", s.Name(), err)
		}
		delete(left, s.Name())
	}
	for name := range left {
		return fmt.Errorf("the state of %.40q is of no part of this run", name)
	}
	return nil
}

func (h hooks) after(ctx context.Context, t *Trainer) error {
	for _, hook := range h {
		if err := hook.After(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// states is what the hooks have to keep.
func (h hooks) states() (map[string]json.RawMessage, error) {
	var states map[string]json.RawMessage
	for _, hook := range h {
		s, ok := hook.(Stateful)
		if !ok {
			continue
		}
		text, err := json.Marshal(s.State())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name(), err)
		}
		if states == nil {
			states = map[string]json.RawMessage{}
		}
		states[s.Name()] = text
	}
	return states, nil
}

// What follows is for hooks.

// Step is the number of updates done.
func (t *Trainer) Step() int { return t.state.Step }

// Epoch is the epoch, from 1, that the last of so many steps belongs to.
func (t *Trainer) Epoch(steps int) int {
	return max(1, ceil(steps, t.source.StepsPerEpoch()))
}

// Objective is the loss that is trained.
func (t *Trainer) Objective() *Objective { return t.objective }

// Source is where micro-batches come from.
func (t *Trainer) Source() *Source { return t.source }

// Optimizer holds the moments, of the adapter's parameters first, in their order.
func (t *Trainer) Optimizer() *optim.AdamW { return t.optimizer }

// Describe lets f add to the events of evaluations.
func (t *Trainer) Describe(f func(*EvalEvent)) { t.describe = f }

// Await says whether something is still to be done without which the run would not be the
// one that was asked for: until then evaluations do not count for its patience.
func (t *Trainer) Await(pending bool) { t.awaits = pending }

// Replaced is to be called when the adapter has other tensors in the place of some of
// its parameters: the optimizer follows, for those listed with the moments that
// changes has. Those that are not listed are what they were.
func (t *Trainer) Replaced(changes map[int]optim.Change) {
	t.graphs.Forget()
	t.list()
	t.optimizer.Replace(t.forOptimizer(), changes)
	for i, frozen := range t.frozen {
		t.optimizer.Freeze(i, frozen)
	}
}

// Freeze leaves parameter i as it is from now on, or trains it again.
func (t *Trainer) Freeze(i int, frozen bool) {
	t.graphs.Forget()
	t.frozen[i] = frozen
	t.optimizer.Freeze(i, frozen)
}
