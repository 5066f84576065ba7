package run

import (
	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/ranks"
)

// plan turns the train section into the loop's constants.
func (a *assembly) plan() error {
	c := a.config.Train
	perEpoch := a.stepsPerEpoch()
	steps := c.MaxSteps
	if steps == 0 {
		steps = c.Epochs * perEpoch
	}
	schedule, err := optim.NewSchedule(c.Schedule, c.LR, c.Warmup, steps)
	if err != nil {
		return config.Invalid("train.schedule", err)
	}
	best, err := train.NewCriterion(c.BestMetric, a.trained())
	if err != nil {
		return config.Invalid("train.best_metric", err)
	}
	a.options = train.Options{
		Steps: steps, BatchSize: c.BatchSize, Accumulate: c.Accumulate, EvalBatchSize: c.EvalBatchSize, Shuffle: a.config.Data.Shuffle,
		Seed: uint64(c.Seed), Mixture: train.Mixture(c.Mixture), Schedule: schedule,
		AdamW:           optim.AdamWConfig{Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Eps, WeightDecay: c.WeightDecay, ClipNorm: c.ClipNorm},
		CheckpointEvery: stepsOf(c.CheckpointEvery, perEpoch), KeepCheckpoints: c.KeepCheckpoints,
		EvalEvery: stepsOf(c.EvalEvery, perEpoch), Patience: c.Patience, Best: best, Predictions: a.config.Run.Predictions,
	}
	return nil
}

// stepsOf is an interval in steps; 0: never.
func stepsOf(every config.Interval, perEpoch int) int {
	if every.Epoch {
		return perEpoch
	}
	return every.Steps
}

// stepsPerEpoch is the run's.
func (a *assembly) stepsPerEpoch() int {
	return train.StepsPerEpoch(a.examples(), a.config.Train.BatchSize, a.config.Train.Accumulate)
}

// examples counts each task's training set.
func (a *assembly) examples() []int {
	examples := make([]int, len(a.tasks))
	for i, t := range a.tasks {
		examples[i] = t.train.Len()
	}
	return examples
}

// trained are the run's tasks as the loop takes them.
func (a *assembly) trained() []train.Task {
	tasks := make([]train.Task, len(a.tasks))
	for i, t := range a.tasks {
		own := a.config.Settings(a.config.Tasks[i])
		tasks[i] = train.Task{
			Name: t.task.Name, Index: t.index, Model: t.model, Train: t.train, Dev: t.dev,
			Weight: own.Weight, HeadScale: *own.LR / a.config.Train.LR,
		}
	}
	return tasks
}

// hooks are those that the configuration asks for; the board is one of them, or nil: a
// process of a group that owns no files has none.
func (a *assembly) hooks() (hooks []train.Hook, b *board) {
	if a.ranks != nil {
		hooks = append(hooks, ranks.New(*a.ranks))
	}
	if a.config.Run.TensorBoard && parallel.Leads(a.group) {
		b = a.newBoard()
		hooks = append(hooks, b)
	}
	return hooks, b
}
