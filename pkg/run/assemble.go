package run

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/ranks"
)

// assembly is a run that is ready to train: every file read and checked.
type assembly struct {
	session  *Session
	config   *config.Config // with what a saved adapter decides filled in
	observer Observer
	group    parallel.Group // nil: one process

	modelDir string
	device   torch.Device
	dtype    torch.DType
	tasks    []*learned // in the order of the configuration
	adapter  adapter.Adapter
	others   otherTasks
	options  train.Options
	ranks    *ranks.Plan

	startFiles []string // of the saved adapter that a new run begins with
}

// learned is one of the tasks of a run: its examples, and the model with its head.
type learned struct {
	source
	model *encoder.Model // on the backbone of the first task's
	index int            // among the adapter's tasks
	train *data.Set
	dev   *data.Set
}

// began: this process has begun a run before.
var began atomic.Bool

// assemble reads everything a run needs. With a checkpoint, adapter and head
// are the checkpoint's.
func (s *Session) assemble(ctx context.Context, o Options, checkpoint *train.Checkpoint) (a *assembly, err error) {
	resolved := *o.Config
	a = &assembly{session: s, config: &resolved, observer: o.Observer, group: o.Group}
	if began.Swap(true) {
		if err := train.ResetPeakMemory(); err != nil {
			a.observer.Note(fmt.Sprintf("peak memory is that of all runs of this process: %v", err))
		}
	}
	var from start
	defer func() {
		from.close()
		if err != nil {
			a.free()
			a = nil
		}
	}()
	for _, part := range []func() error{
		a.settleMachine, // device, dtype, threads
		// checkpoint | adapter.append.to | adapter.init_from | nothing; before all that
		// takes long, for its errors are the user's to mend.
		func() error { from, err = openStart(a.config, checkpoint); a.startFiles = from.files(); return err },
		func() error { return a.settleTasks(o.GLUEDir, from) }, // classes, files, the model's folder
		func() error { return a.loadModels(from) },             // the session's backbone, the tasks' heads
		func() error { return a.loadAdapter(from) },            // saved, or new: spec and budget
		func() error { return a.loadData(ctx) },                // tokenizer, examples, encoded sets
		func() error { return a.centreRegressions(from) },      // where their heads were made
		a.settlePlaces, // absolute paths, for the record
		a.plan,         // steps, schedule, metric
		a.planRanks,    // DMRG
	} {
		if err = part(); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (a *assembly) free() {
	if a.adapter != nil {
		a.adapter.Free()
	}
	a.others.free()
	for i := len(a.tasks) - 1; i >= 0; i-- { // the first one's model has the backbone
		if m := a.tasks[i].model; m != nil {
			m.Free()
		}
	}
}

// first is the model of the first task, whose backbone is all tasks'.
func (a *assembly) first() *encoder.Model { return a.tasks[0].model }

// heads counts the parameters of all tasks' heads.
func (a *assembly) heads() (count int64) {
	for _, t := range a.tasks {
		count += adapter.Count(t.model.Head())
	}
	return count
}

// names are the tasks', as the adapter has them.
func (a *assembly) names() []string { return namesOf(a.tasks) }

func namesOf(tasks []*learned) []string {
	names := make([]string, len(tasks))
	for i, t := range tasks {
		names[i] = t.task.Name
	}
	return names
}
