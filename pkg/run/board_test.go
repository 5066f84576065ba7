package run_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/tensorboard"
	"github.com/metatt/metatt/pkg/train"
)

// point is a value's place in TensorBoard.
type point struct {
	tag  string
	step int
}

// eventFile is the one event file of a run directory.
func eventFile(t *testing.T, dir string) (path string, content []byte) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*tfevents*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("event files %v (%v), want one", found, err)
	}
	content, err = os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return found[0], content
}

// points are the scalars of an event file. Two of one place are an error.
func points(t *testing.T, file []byte) map[point]float64 {
	t.Helper()
	all := map[point]float64{}
	for len(file) > 0 {
		length := binary.LittleEndian.Uint64(file)
		event := fields(t, file[12:12+length])
		file = file[12+length+4:]
		step := 0
		for _, n := range event[2] {
			step = int(n.number)
		}
		for _, summary := range event[5] {
			for _, v := range fields(t, summary.bytes)[1] {
				value := fields(t, v.bytes)
				at := point{string(value[1][0].bytes), step}
				if _, twice := all[at]; twice {
					t.Errorf("%v has two values", at)
				}
				all[at] = math.NaN()
				for _, simple := range value[2] {
					all[at] = float64(math.Float32frombits(uint32(simple.number)))
				}
			}
		}
	}
	return all
}

type field struct {
	number uint64
	bytes  []byte
}

func fields(t *testing.T, message []byte) map[protowire.Number][]field {
	t.Helper()
	found := map[protowire.Number][]field{}
	for len(message) > 0 {
		name, kind, n := protowire.ConsumeTag(message)
		message = message[max(n, 0):]
		var f field
		var size int
		switch kind {
		case protowire.VarintType:
			f.number, size = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			f.number, size = protowire.ConsumeFixed64(message)
		case protowire.Fixed32Type:
			var bits uint32
			bits, size = protowire.ConsumeFixed32(message)
			f.number = uint64(bits)
		case protowire.BytesType:
			f.bytes, size = protowire.ConsumeBytes(message)
		}
		if n < 0 || size <= 0 {
			t.Fatalf("not a message: %x", message)
		}
		message, found[name] = message[size:], append(found[name], f)
	}
	return found
}

// journalled are the points that a run's journals have, by what they are called there.
func journalled(t *testing.T, dir string) map[point]float64 {
	t.Helper()
	all := map[point]float64{}
	for e, err := range train.Events(bytes.NewReader(metrics(t, dir)), train.MetricsFile) {
		switch {
		case err != nil:
			t.Fatal(err)
		case e.Step != nil:
			all[point{"train/loss", e.Step.Step}], all[point{"train/lr", e.Step.Step}] = float64(e.Step.Loss), float64(float32(e.Step.LR))
			if e.Step.Penalty != nil {
				all[point{"train/penalty", e.Step.Step}] = float64(*e.Step.Penalty)
			}
			for name, loss := range e.Step.Losses {
				all[point{"train/" + name + "/loss", e.Step.Step}] = float64(loss)
			}
		case e.Eval != nil:
			all[point{"dev/loss", e.Eval.Step}] = float64(e.Eval.Loss)
			for _, m := range e.Eval.Metrics {
				all[point{"dev/" + m.Name, e.Eval.Step}] = float64(float32(m.Value))
			}
			for _, of := range e.Eval.Tasks {
				all[point{"dev/" + of.Task + "/loss", e.Eval.Step}] = float64(of.Loss)
				for _, m := range of.Metrics {
					if !m.Undefined {
						all[point{"dev/" + of.Task + "/" + m.Name, e.Eval.Step}] = float64(float32(m.Value))
					}
				}
			}
			if e.Eval.Criterion != nil {
				all[point{"dev/criterion", e.Eval.Step}] = float64(float32(*e.Eval.Criterion))
			}
			for i, rank := range e.Eval.Ranks {
				all[point{fmt.Sprint("ranks/bond_", i+1), e.Eval.Step}] = float64(rank)
			}
		case e.Sweep != nil:
			all[point{"ranks/parameters", e.Sweep.Step}] = float64(e.Sweep.Parameters)
			for i, rank := range e.Sweep.Ranks {
				all[point{fmt.Sprint("ranks/bond_", i+1), e.Sweep.Step}] = float64(rank)
			}
		}
	}
	return all
}

// timed is what is no journal's: of time, of the end, and what has no scalar.
func timed(at point, value float64) bool {
	return at.tag == "speed/samples_per_second" || strings.HasPrefix(at.tag, "best/") || math.IsNaN(value)
}

// Whatever a run is, TensorBoard has each figure of its journals once, whether it was
// left alone or went on after stops, with what a killed process leaves.
func TestBoard(t *testing.T) {
	for name, keys := range map[string][]string{
		"sweeps":    {"dmrg.mode=canonical", "dmrg.unit=step", "dmrg.at=7,9", "dmrg.maxdim=3,2"},
		"two-site":  {"dmrg.mode=two-site", "dmrg.unit=step", "dmrg.at=3", "dmrg.pair_steps=2", "dmrg.probe_batches=1"},
		"penalty":   {"adapter.method=adalora", "adapter.rank=2"},
		"two tasks": {"task=mrpc,stsb", "data.glue=" + threeTasks(t), "train.mixture=uniform"},
	} {
		t.Run(name, func(t *testing.T) {
			keys := append(keys, "run.tensorboard=true", "train.checkpoint_every=5", "run.log_every=3")
			whole, stopped := tiny(t, keys...), tiny(t, keys...)
			summary, err := run.Train(t.Context(), whole)
			if err != nil {
				t.Fatal(err)
			}
			_, content := eventFile(t, whole.Config.Run.Dir)
			want := points(t, content)
			if got := want[point{"best/" + summary.Best.Metric, summary.Steps}]; got != float64(float32(*summary.Best.Value)) {
				t.Errorf("best %v, the summary has %v", got, *summary.Best.Value)
			}
			for _, tag := range []string{"config", "_hparams_/experiment", "_hparams_/session_start_info"} {
				if _, ok := want[point{tag, 0}]; !ok {
					t.Errorf("no %s", tag)
				}
			}
			if _, ok := want[point{"_hparams_/session_end_info", summary.Steps}]; !ok {
				t.Error("the run has no end")
			}
			ofTime := len(want)
			maps.DeleteFunc(want, timed)
			if ofTime -= len(want); ofTime < 5 {
				t.Errorf("%d values of time and end", ofTime)
			}
			if got := journalled(t, whole.Config.Run.Dir); !maps.Equal(got, want) {
				t.Errorf("in the journals %v, in TensorBoard %v", got, want)
			}

			dir := stopped.Config.Run.Dir
			interrupted(t, stopped, 4, 9)
			leaveDebris(t, dir)
			if _, err := run.Resume(t.Context(), dir, stopped); err != nil {
				t.Fatal(err)
			}
			_, content = eventFile(t, dir)
			got := points(t, content)
			maps.DeleteFunc(got, timed)
			if !maps.Equal(got, want) {
				t.Errorf("resumed %v, left alone %v", got, want)
			}
			if left := debris(t, dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// leaveDebris is what a killed process may leave: a record that breaks off, behind those
// of steps that the checkpoint does not know, and an unfinished file.
func leaveDebris(t *testing.T, dir string) {
	t.Helper()
	path, content := eventFile(t, dir)
	stale := tensorboard.Append(nil, tensorboard.Event{Step: 12, Values: []tensorboard.Value{tensorboard.Scalar("train/loss", 99)}})
	content = append(append(content, stale...), stale[:len(stale)-5]...)
	for name, content := range map[string][]byte{path: content, filepath.Join(dir, ".tensorboard123"): stale} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// What was written before a stop keeps its time; what is left out is not there.
func TestBoardKeepsTimes(t *testing.T) {
	o := tiny(t, "run.tensorboard=true", "run.log_every=1")
	interrupted(t, o, 4)
	former, content := eventFile(t, o.Config.Run.Dir)
	before := tensorboard.Times(bytes.NewReader(content))
	if got := slices.Sorted(maps.Keys(before)); !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
		t.Fatalf("stopped after step 4, there are %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := run.Resume(ctx, o.Config.Run.Dir, o); err == nil {
		t.Fatal("not stopped")
	}
	if _, err := run.Resume(t.Context(), o.Config.Run.Dir, o); err != nil {
		t.Fatal(err)
	}
	now, content := eventFile(t, o.Config.Run.Dir)
	after := tensorboard.Times(bytes.NewReader(content))
	for step := 1; step <= 4; step++ {
		if !after[step].Equal(before[step]) {
			t.Errorf("step %d was at %v, now it is at %v", step, before[step], after[step])
		}
	}
	if now < former {
		t.Errorf("%s takes the place of %s", now, former)
	}
	plain := tiny(t)
	if _, err := run.Train(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(plain.Config.Run.Dir, "*tfevents*")); len(found) > 0 {
		t.Errorf("not asked for: %v", found)
	}
}
