package predict_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/predict"
	"github.com/metatt/metatt/pkg/run/runtest"
)

// Of a run of several tasks those are judged that have what is asked for; the others are
// told of.
func TestRunTasks(t *testing.T) {
	const data = "data: {train: a.csv, dev: b.csv, test: c.csv}\n"
	for _, c := range []struct {
		config string
		ask    predict.EvalOptions
		want   string
	}{
		{"task: [stsb, custom, sample]\n" + data, predict.EvalOptions{}, "stsb custom sample"},
		{"task: [stsb, custom, sample]\n" + data, predict.EvalOptions{Split: "test"}, "custom"},
		{"task: [stsb, custom, sample]\n" + strings.Replace(data, ", test: c.csv", "", 1), predict.EvalOptions{Split: "test"}, "stsb custom sample"},
		{"task: [stsb, custom, sample]\n" + data, predict.EvalOptions{Submission: "x.zip"}, "stsb"},
		{"task: [stsb, custom, sample]\n" + data, predict.EvalOptions{Data: "d.csv"}, "custom"},
		{"task: [stsb, rte]\n", predict.EvalOptions{Split: "test"}, "stsb rte"}, // each says why not
		{"task: [stsb, rte]\n", predict.EvalOptions{Data: "d.csv"}, "stsb rte"},
		{"task: rte\n", predict.EvalOptions{}, ""},
	} {
		c.ask.Dir = runtest.Files(t, map[string]string{"config.yaml": c.config})
		var notes []string
		c.ask.Note = func(text string) { notes = append(notes, text) }
		tasks, err := predict.RunTasks(c.ask)
		if err != nil || strings.Join(tasks, " ") != c.want {
			t.Errorf("%q, %+v: %v (%v), want %s", c.config, c.ask, tasks, err, c.want)
		}
		told := slices.ContainsFunc(notes, func(text string) bool { return strings.HasPrefix(text, "left out") })
		if told != (len(tasks) == 1) {
			t.Errorf("%q, %+v: notes %q", c.config, c.ask, notes)
		}
	}
}
