package run_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// What runs of every kind record is read whole: written again, it is the same.
func TestRecordsAreReadWhole(t *testing.T) {
	for name, c := range sweeping {
		keys := append([]string{"train.max_steps=8", "adapter.rank=4", "dmrg.unit=step", "train.checkpoint_every=never"}, c.keys...)
		summary, err := run.Train(t.Context(), tiny(t, keys...))
		if err != nil {
			t.Fatal(err)
		}
		record := metrics(t, summary.RunDir)
		var again bytes.Buffer
		encoder := json.NewEncoder(&again)
		for event, err := range train.Events(bytes.NewReader(record), train.MetricsFile) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var line any = event.Step
			if event.Eval != nil {
				line = event.Eval
			} else if event.Sweep != nil {
				line = event.Sweep
			}
			if err := encoder.Encode(line); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again.Bytes(), record) {
			t.Errorf("%s: recorded\n%s\nread\n%s", name, record, again.Bytes())
		}
	}
}
