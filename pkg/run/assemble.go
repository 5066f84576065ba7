package run

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/place"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/task/glue"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/tuned"
)

// assembly is a run that is ready to train: every file read and checked.
type assembly struct {
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
	ranks    *train.Ranks
}

// assemble reads everything a run needs. With a checkpoint, adapter and head
// are the checkpoint's.
func assemble(ctx context.Context, o Options, checkpoint *train.Checkpoint) (a *assembly, err error) {
	resolved := *o.Config
	a = &assembly{config: &resolved, observer: o.Observer}
	defer func() {
		if err != nil {
			a.free()
			a = nil
		}
	}()
	c := a.config
	if len(c.Tasks) > 1 {
		return a, config.Invalid("task", fmt.Errorf("%s: a run learns one task for now", strings.Join(c.Tasks, ", ")))
	}
	if a.device, err = torch.ParseDevice(c.Device); err != nil {
		return a, config.Invalid("device", err)
	}
	c.Device = a.device.String()
	if err = a.settleDType(); err != nil {
		return a, err
	}
	if err = torch.SetThreads(c.Threads); err != nil {
		return a, config.Invalid("threads", err)
	}
	// The adapter first: its errors are the user's to mend, and cheap to find.
	start, appending := cmp.Or(c.Adapter.Append.To, c.Adapter.InitFrom), c.Adapter.Append.To != "" && checkpoint == nil
	switch {
	case checkpoint != nil:
		start = checkpoint.Dir
	case start != "":
		if start, err = place.Adapter(start); err != nil {
			return a, err
		}
	}
	var saved, trained *adapter.Saved // trained: what holds the head
	if start != "" {
		if saved, err = adapter.Read(start); err != nil {
			return a, err
		}
		defer saved.Close()
		if err = adopt(c, saved.Config); err != nil {
			return a, err
		}
		if err = checkTasks(c, saved, appending); err != nil {
			return a, err
		}
		if !appending {
			trained = saved
		}
	}
	if a.source, err = newSource(c, o.GLUEDir, trained, o.Observer.Note); err != nil {
		return a, err
	}
	c.Model.Path = place.AbsoluteModel(c.Model.Path)
	if a.modelDir, err = hf.Resolve(c.Model.Path); err != nil {
		return a, err
	}
	if saved != nil && (appending || len(saved.Config.FrozenTasks) > 0) {
		if err = a.checkBackbone(saved); err != nil {
			return a, err
		}
	}
	if err = a.orderClasses(a.modelDir, trained, a.observer.Note); err != nil {
		return a, err
	}
	if err = a.loadModel(trained); err != nil {
		return a, err
	}
	err = a.loadAdapter(saved, appending)
	tuned.Notes(saved, a.observer.Note)
	if err != nil {
		return a, err
	}
	if err = a.loadData(ctx); err != nil {
		return a, err
	}
	a.settlePlaces()
	return a, a.plan()
}

// settleDType decides what auto means on the device, and warns of what is slow there.
func (a *assembly) settleDType() (err error) {
	dtype := &a.config.Model.DType
	native := a.device.ComputesBFloat16()
	switch {
	case *dtype == "auto" && native:
		*dtype = "bf16"
	case *dtype == "auto":
		*dtype = "fp32"
	case *dtype == "bf16" && !native:
		a.observer.Note(fmt.Sprintf("model.dtype bf16: %s computes it slower than fp32, in software many times; auto takes what is fast", a.device))
	}
	a.dtype, err = tuned.ParseDType(*dtype)
	return err
}

// adopt puts what a saved adapter decides into the configuration. A value that
// the command line gave must agree; a file's is replaced.
func adopt(c *config.Config, saved adapter.Config) error {
	var problems []config.Problem
	check := func(key string, differs bool, theirs any) {
		if differs && c.FromCommandLine(key) {
			problems = append(problems, config.Problem{
				Where: "command line", Key: key, Message: fmt.Sprintf("the adapter in %s has %v: leave the key out", cmp.Or(c.Adapter.InitFrom, c.Adapter.Append.To), theirs),
			})
		}
	}
	method, err := adapter.Lookup(saved.Method)
	if err != nil {
		return err
	}
	settings := c.Adapter.Settings(saved.Method)
	if method.Adopted != nil {
		settings = method.Adopted(saved, settings)
	}
	rank := c.Adapter.Rank
	if len(saved.Ranks) > 0 {
		rank = int(slices.Max(saved.Ranks))
	}
	check("adapter.method", c.Adapter.Method != saved.Method, saved.Method)
	check("adapter.rank", c.Adapter.Rank != rank, rank)
	check("adapter.alpha", c.Adapter.Alpha != nil && *c.Adapter.Alpha != saved.Alpha, saved.Alpha)
	check("adapter.targets", !slices.Equal(c.Adapter.Targets, saved.Targets), saved.Targets)
	keys, theirs := c.Overruled(saved.Method, settings)
	for i, key := range keys {
		check(key, true, theirs[i])
	}
	if len(problems) > 0 {
		return &config.Error{Problems: problems}
	}
	c.Adapter.Rank = rank
	c.Adapter.Adopt(saved.Method, settings)
	// A method that lacks one of these says nothing of it.
	if saved.Alpha != 0 {
		c.Adapter.Alpha = &saved.Alpha
	}
	if len(saved.Targets) > 0 {
		c.Adapter.Targets = saved.Targets
	}
	return nil
}

// loadModel loads the backbone, for a head that comes from trained, or that of
// the checkpoint where that is nil.
func (a *assembly) loadModel(trained *adapter.Saved) (err error) {
	c := a.config
	a.model, err = models.Load(a.modelDir, encoder.Options{
		Labels: a.task.Outputs(), DType: a.dtype, Device: a.device,
		Seed: uint64(c.Train.Seed), TrainPooler: trained != nil && trained.BringsPooler(),
	})
	if err != nil {
		return err
	}
	report := a.model.Report()
	if trained == nil && len(report.New) > 0 { // else tuned.PutOn says what is left of it
		a.observer.Note(fmt.Sprintf("newly initialised, not in the checkpoint: %s; trained and stored with the adapter", adapter.Few(report.New)))
	}
	if a.guessed != "" && !slices.ContainsFunc(report.New, func(name string) bool { return strings.HasPrefix(name, "classifier.") }) {
		a.observer.Note(a.guessed) // of a head that goes on from the checkpoint's
	}
	if len(report.Tied) > 0 {
		a.observer.Note(fmt.Sprintf("shared tensors of the checkpoint: %s", adapter.Few(report.Tied)))
	}
	if p := a.model.Config().ProblemType; p == "multi_label_classification" {
		a.observer.Note(fmt.Sprintf("the checkpoint's problem_type is %s; %s has one label for each example, and is trained so", p, a.task.Name))
	}
	if len(report.Unexpected) > 0 {
		a.observer.Note(fmt.Sprintf("in the checkpoint, not used: %s", adapter.Few(report.Unexpected)))
	}
	return nil
}

// loadAdapter opens the saved adapter and its head, appends a task to it, or
// makes a fresh one.
func (a *assembly) loadAdapter(saved *adapter.Saved, appending bool) (err error) {
	c := a.config
	if saved != nil {
		if a.others, err = readOtherTasks(saved, a.task.Name, appending); err != nil {
			return err
		}
		if appending {
			a.adapter, err = a.appendTask(saved)
			return err
		}
		a.adapter, err = tuned.PutOn(saved, a.task.Name, a.model, a.device, a.observer.Note)
		return err
	}
	method, err := adapter.Lookup(c.Adapter.Method)
	if err != nil {
		return config.Invalid("adapter.method", err)
	}
	targets, err := adapter.ParseKinds(c.Adapter.Targets)
	if err != nil {
		return config.Invalid("adapter.targets", err)
	}
	if c.Adapter.Alpha == nil {
		alpha := method.Alpha()
		c.Adapter.Alpha = &alpha
	}
	spec := adapter.Spec{
		Architecture: a.model.Architecture(), Targets: targets, Rank: c.Adapter.Rank, Alpha: *c.Adapter.Alpha,
		Settings: c.Adapter.Settings(method.Name), Seed: uint64(c.Train.Seed), Device: a.device,
	}
	if settings, ok := spec.Settings.(adapter.TaskSettings); ok && settings.TaskMode() {
		spec.Tasks = []string{a.task.Name}
	}
	if c.Adapter.Budget > 0 {
		if spec, err = a.fitBudget(method, spec); err != nil {
			return config.Invalid("adapter.budget", err)
		}
	}
	if a.adapter, err = method.New(spec); err != nil {
		return config.Invalid("adapter", err)
	}
	return adapter.Bind(a.adapter, a.model)
}

// fitBudget chooses the size that adapter.budget allows, says so and puts it into
// the configuration.
func (a *assembly) fitBudget(method adapter.Method, spec adapter.Spec) (adapter.Spec, error) {
	c := &a.config.Adapter
	budget := int64(c.Budget)
	fit, err := adapter.FitBudget(method, spec, budget)
	if err != nil {
		return spec, err
	}
	note := fmt.Sprintf("adapter.budget %d: adapter.%s %d, %d parameters", budget, cmp.Or(method.Settings.Size, "rank"), fit.Size, fit.Count)
	if fit.Bounded && fit.Count < budget*9/10 {
		note += fmt.Sprintf("; no larger rank is legal, %d %% of the budget stays unused: not a comparison at equal parameters", 100-100*fit.Count/budget)
	}
	a.observer.Note(note)
	c.Rank = fit.Spec.Rank
	c.Adopt(method.Name, fit.Spec.Settings)
	return fit.Spec, nil
}

// encodedLimit bounds the cache of encoded sets: full GLUE takes a tenth of it.
const encodedLimit = 4 << 30

func (a *assembly) loadData(ctx context.Context) error {
	c := a.config
	tokens, err := tokenizer.Load(a.modelDir)
	if err != nil {
		return err
	}
	for _, note := range tokens.Notes() {
		a.observer.Note(note)
	}
	if have, most := tokens.VocabSize(), a.model.Config().VocabSize; have > most {
		return fmt.Errorf("%s: the tokenizer makes ids up to %d, the model's vocabulary has %d", a.modelDir, have-1, most)
	}
	if most := a.model.MaxLength(); c.Data.MaxLength > most {
		return config.Invalid("data.max_length", fmt.Errorf("%d: the model has %d positions", c.Data.MaxLength, most))
	}
	training, err := a.readTraining(c, a.observer.Note)
	if err != nil {
		return err
	}
	dev, err := a.readDev(a.observer.Note)
	if err != nil {
		return err
	}
	if a.files["data.test"] != "" { // to tell now what would be found wrong after training
		if _, err := a.readFile("data.test"); err != nil {
			return err
		}
	}
	var cache data.Cache
	if c.Data.Cache {
		cache = data.Cache{Dir: filepath.Join(hf.Home(), "encoded"), Limit: encodedLimit}
	}
	for set, examples := range map[**data.Set][]task.Example{&a.trainSet: training, &a.devSet: dev} {
		if *set, err = cache.Encode(ctx, tokens, a.task, examples, c.Data.MaxLength); err != nil {
			if ctx.Err() != nil {
				return train.ErrInterrupted // nothing has begun: nothing to save
			}
			return err
		}
	}
	if err := a.checkEncoded("train", a.trainSet); err != nil {
		return err
	}
	return a.checkEncoded("dev", a.devSet)
}

// checkEncoded finds, before anything is written, what of a set the model cannot
// take: more token types than it has, say, as a tokenizer makes of pairs.
func (a *assembly) checkEncoded(name string, set *data.Set) error {
	err := set.Check(func(ids, typeIDs []int32) error {
		return a.model.Check(encoder.Input{IDs: ids, TypeIDs: typeIDs, Offsets: []int32{0, int32(len(ids))}})
	})
	if err != nil {
		return fmt.Errorf("%s does not take the %s set of %s: %w", a.modelDir, name, a.task.Name, err)
	}
	return nil
}

// plan turns the train section into the loop's constants.
func (a *assembly) plan() error {
	c := a.config.Train
	perEpoch := train.StepsPerEpoch(a.trainSet.Len(), c.BatchSize)
	steps := c.MaxSteps
	if steps == 0 {
		steps = c.Epochs * perEpoch
	}
	schedule, err := optim.NewSchedule(c.Schedule, c.LR, c.Warmup, steps)
	if err != nil {
		return config.Invalid("train.schedule", err)
	}
	every := c.CheckpointEvery.Steps
	if c.CheckpointEvery.Epoch {
		every = perEpoch
	}
	best := c.BestMetric
	if best == "" {
		best = a.task.Best
	} else if !slices.Contains(a.task.Metrics, best) {
		return config.Invalid("train.best_metric", fmt.Errorf("%s has the metrics %v, not %s", a.task.Name, a.task.Metrics, best))
	}
	a.options = train.Options{
		Steps: steps, BatchSize: c.BatchSize, EvalBatchSize: c.EvalBatchSize, Shuffle: a.config.Data.Shuffle,
		Seed: uint64(c.Seed), Schedule: schedule,
		AdamW:    optim.AdamWConfig{Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Eps, WeightDecay: c.WeightDecay},
		ClipNorm: c.ClipNorm, CheckpointEvery: every, KeepCheckpoints: c.KeepCheckpoints, BestMetric: best,
	}
	a.ranks, err = a.rankPlan(perEpoch, steps)
	return err
}

// saveAdapter writes adapter and heads, as they are, into a folder. It runs
// inside [torch.Do].
func (a *assembly) saveAdapter(dir string) error {
	config := a.others.describe(a.adapter.Config())
	config.BaseModel = a.config.Model.Path
	config.TaskType = "SEQ_CLS"
	if len(config.Tasks) < 2 { // it may have been another one's
		config.Tasks = []string{a.task.Name}
	}
	var columns *adapter.Columns
	if a.files != nil {
		own := adapter.Columns(a.task.Columns)
		columns = &own
	}
	config = config.WithTask(a.task.Name, a.task.Labels, columns, a.config.Data.MaxLength).WithModel(a.model.Head(), a.model.Replaced())
	replaced, err := adapter.StoredReplaced(config, a.model.Replaced())
	if err != nil {
		return err
	}
	return adapter.Save(dir, config, slices.Concat(
		adapter.State(a.adapter), adapter.TaskHead(config, a.task.Name, a.model.Head()), a.others.heads, replaced))
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

// settlePlaces makes a configuration mean the same in any folder.
func (a *assembly) settlePlaces() {
	c := a.config
	for _, path := range []*string{&c.Data.Train, &c.Data.Dev, &c.Data.Test, &c.Adapter.InitFrom, &c.Adapter.Append.To} {
		*path = place.Absolute(*path)
	}
	if folder, ok := a.from.(glue.Folder); ok {
		c.Data.GLUE = place.Absolute(string(folder))
	}
}
