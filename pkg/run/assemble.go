package run

import (
	"context"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/ranks"
)

// assembly is a run that is ready to train: every file read and checked.
type assembly struct {
	session  *Session
	config   *config.Config // with what a saved adapter decides filled in
	observer Observer

	source
	modelDir string
	device   torch.Device
	dtype    torch.DType
	model    *encoder.Model
	adapter  adapter.Adapter
	others   otherTasks
	trainSet *data.Set
	devSet   *data.Set
	options  train.Options
	ranks    *ranks.Plan
}

// assemble reads everything a run needs. With a checkpoint, adapter and head
// are the checkpoint's.
func (s *Session) assemble(ctx context.Context, o Options, checkpoint *train.Checkpoint) (a *assembly, err error) {
	resolved := *o.Config
	a = &assembly{session: s, config: &resolved, observer: o.Observer}
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
		func() error { from, err = openStart(a.config, checkpoint); return err },
		func() error { return a.settleTask(o.GLUEDir, from) }, // classes, files, the model's folder
		func() error { return a.loadModel(from) },             // the session's backbone, the task's head
		func() error { return a.loadAdapter(from) },           // saved, or new: spec and budget
		func() error { return a.loadData(ctx) },               // tokenizer, examples, encoded sets
		a.settlePlaces,                                        // absolute paths, for the record
		a.plan,                                                // steps, schedule, metric
		a.planRanks,                                           // DMRG
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
	if a.model != nil {
		a.model.Free()
	}
}
