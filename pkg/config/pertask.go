package config

import (
	"cmp"
	"reflect"
	"strings"
)

// PerTask is the section tasks: what some tasks of the run have for themselves, by their names.
type PerTask map[string]TaskSettings

// TaskSettings is what one task has in the place of what the run says for all.
type TaskSettings struct {
	LR     *float64 `yaml:"lr" default:"null" range:"(0,)" aka:"learning_rate,head_lr" doc:"highest learning rate of the task's head; null: train.head_lr"`
	Weight float64  `yaml:"weight" default:"1" range:"(0,)" aka:"loss_weight" doc:"factor of the task's loss"`
	Limit  *int     `yaml:"limit" default:"null" range:"[0,)" aka:"max_train_samples,max_samples" doc:"examples of each of the task's splits that are used; null: data.limit and data.train_limit"`
}

// perTask is the section of TaskSettings.
const perTask = "tasks"

// Settings are a task's own: LR, which is not nil, and Weight are what holds for it. [Config.Drawn] knows its limit.
func (c *Config) Settings(task string) TaskSettings {
	own, set := c.PerTask[task]
	if !set {
		own.Weight = 1
	}
	own.LR = cmp.Or(own.LR, c.Train.HeadLR, &c.Train.LR)
	return own
}

// Drawn is how many examples of a task's training set, or of another split, are used, 0 being all, and the seed
// that draws them.
func (c *Config) Drawn(task string, training bool) (limit, seed int) {
	limits := []*int{c.PerTask[task].Limit, &c.Data.Limit}
	if training {
		limits = []*int{limits[0], c.Data.TrainLimit, limits[1]}
	}
	return *cmp.Or(limits...), *cmp.Or(c.Data.LimitSeed, &c.Train.Seed)
}

// canonical is a key's name as the schema has it: in tasks.SST-2.lr, as in task, case and hyphens do not count.
func canonical(name string) string {
	rest, ok := strings.CutPrefix(name, perTask+".")
	if !ok {
		return name
	}
	task, last, dotted := strings.Cut(rest, ".")
	if name = perTask + "." + taskName(task); dotted {
		name += "." + last
	}
	return name
}

// setsTask: some key of the task's section is set.
func (l *layer) setsTask(task string) bool {
	for name := range l.values {
		if strings.HasPrefix(name, perTask+"."+task+".") {
			return true
		}
	}
	return false
}

// ofAnyTask is the name under which a key that every task has is listed.
func ofAnyTask(name string) string {
	_, last := splitKey(name)
	return perTask + ".<task>." + last
}

// ofTask is the key's value among a task's settings, its default where the section has none of the task.
func (k *Key) ofTask(c *Config) any {
	own, set := c.PerTask[k.task]
	if !set {
		byDefault, _ := k.parse(k.Default)
		return byDefault
	}
	return reflect.ValueOf(own).FieldByIndex(k.index).Interface()
}
