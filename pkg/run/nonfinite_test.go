package run_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/safetensors"
	"github.com/metatt/metatt/pkg/train"
)

// readTensors reads every F32 tensor of a file.
func readTensors(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string][]float32{}
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		data := make([]byte, info.Size)
		if err := f.ReadInto(name, data); err != nil {
			t.Fatal(err)
		}
		values := make([]float32, len(data)/4)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
		all[name] = values
	}
	return all
}

// finiteFiles holds every tensor that a run keeps to finite numbers.
func finiteFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".safetensors") {
			return err
		}
		for name, values := range readTensors(t, path) {
			for _, v := range values {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					t.Errorf("%s: %s holds %v", path, name, v)
					break
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A step whose loss is finite and whose gradient or update is not ends the run: the
// error names step and examples, and what is kept is the state before it.
func TestStepsThatAreNotFiniteAreNotMade(t *testing.T) {
	for name, c := range map[string]struct {
		keys []string
		step int // that is not made
		want string
	}{
		"learning rate":            {[]string{"train.lr=1e20", "train.schedule=constant", "train.warmup=0.1"}, 2, "would not be finite after the update"},
		"learning rate of fp64":    {[]string{"train.lr=1e300", "train.schedule=constant", "train.warmup=0.1"}, 2, "would not be finite after the update"},
		"from the first step":      {[]string{"train.lr=1e20", "train.warmup=0"}, 1, "would not be finite after the update"},
		"weight decay":             {[]string{"train.weight_decay=1e30", "train.warmup=0.1"}, 2, "would not be finite after the update"},
		"eps that fp32 lacks":      {[]string{"train.eps=1e-200", "train.warmup=0"}, 1, "would not be finite after the update"},
		"full":                     {[]string{"adapter.method=full", "train.lr=1e20", "train.warmup=0.1"}, 2, "would not be finite after the update"},
		"full in bf16":             {[]string{"adapter.method=full", "model.dtype=bf16", "train.lr=1e20", "train.warmup=0.1"}, 2, "would not be finite after the update"},
		"bitfit":                   {[]string{"adapter.method=bitfit", "train.lr=1e20", "train.warmup=0.1"}, 2, "would not be finite after the update"},
		"adalora":                  {[]string{"adapter.method=adalora", "train.lr=1e20", "train.warmup=0.1"}, 2, "would not be finite after the update"},
		"large but representable":  {[]string{"train.lr=5e18", "train.warmup=0.1"}, 3, ""}, // the next loss or gradient tells
		"adalora's penalty":        {[]string{"adapter.method=adalora", "train.lr=1e15", "train.warmup=0.1"}, 3, ""},
		"gradient of a large rate": {[]string{"adapter.method=full", "train.lr=1e12", "train.warmup=0.1", "train.clip_norm=0"}, 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := tiny(t, append([]string{"train.checkpoint_every=1", "data.shuffle=false"}, c.keys...)...)
			_, err := run.Train(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v, want %q", err, c.want)
			}
			first, step := 7*(c.step-1), c.step // batches of 7, in the file's order
			ids := []string{" 0, 1, 2, 3, 4, 5, 6", " 7, 8, 9, 10, 11, 12, 13", " 14, 15, 16, 17, 18, 19, 20"}[first/7]
			if !strings.HasPrefix(err.Error(), "step "+string(rune('0'+step))+": ") || !strings.HasSuffix(err.Error(), ids) {
				t.Errorf("%v: want step %d and the examples%s", err, step, ids)
			}
			finiteFiles(t, o.Config.Run.Dir)
			latest, err := train.LatestCheckpoint(o.Config.Run.Dir)
			if step == 1 {
				if latest != nil || err != nil {
					t.Errorf("a checkpoint %v (%v) of no step", latest, err)
				}
				return
			}
			if err != nil || filepath.Base(latest.Dir) != "step-0000000"+string(rune('0'+step-1)) {
				t.Errorf("the newest checkpoint is %+v (%v), want that before step %d", latest, err, step)
			}
		})
	}
}

// poison puts a number into a tensor of a file.
func poison(t *testing.T, path, name string, value float32) {
	t.Helper()
	all := readTensors(t, path)
	if len(all[name]) == 0 {
		t.Fatalf("%s has no tensor %s", path, name)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for _, n := range f.Names() {
		info, _ := f.Info(n)
		data := make([]byte, info.Size)
		if err := f.ReadInto(n, data); err != nil {
			t.Fatal(err)
		}
		if n == name {
			binary.LittleEndian.PutUint32(data, math.Float32bits(value))
		}
		tensors = append(tensors, safetensors.Tensor{Name: n, DType: info.DType, Shape: info.Shape, Data: data})
	}
	f.Close()
	if err := safetensors.Write(path, tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
}

// What is not finite at an evaluation, in a sweep or in what a checkpoint would hold
// ends the run as well, and the last good state stays.
func TestWhatIsNotFiniteIsNotKept(t *testing.T) {
	inf := float32(math.Inf(1))
	for name, c := range map[string]struct {
		keys  []string
		stop  int
		file  string
		name  string
		value float32
		want  string
	}{
		"moment":         {nil, 3, "optimizer.safetensors", "cores.1.exp_avg_sq", inf, "tensor cores.1.exp_avg_sq is not finite: go on from "},
		"a large moment": {nil, 3, "optimizer.safetensors", "cores.1.exp_avg", 1e19, "step 4: cores.1 would not be finite after the update"},
		"AdaLoRA's importance": {[]string{"adapter.method=adalora"}, 3, "optimizer.safetensors",
			"base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.sensitivity", inf, "step 4: nothing is saved: base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.sensitivity is not finite"},
		"dev logits": {nil, 7, adapter.WeightsFile, "classifier.bias", inf, "step 7: evaluate MRPC: example 0 (ID 0) has the logit "},
		"sweep": {[]string{"dmrg.mode=canonical", "dmrg.unit=step", "dmrg.at=4", "dmrg.maxdim=2", "dmrg.moments=transport"}, 3, "optimizer.safetensors",
			"cores.1.exp_avg", 1e19, "cores.1"},
	} {
		t.Run(name, func(t *testing.T) {
			o := tiny(t, append([]string{"train.checkpoint_every=1", "train.keep_checkpoints=2"}, c.keys...)...)
			interrupted(t, o, c.stop)
			dir := o.Config.Run.Dir
			latest, err := train.LatestCheckpoint(dir)
			if err != nil {
				t.Fatal(err)
			}
			poison(t, filepath.Join(latest.Dir, c.file), c.name, c.value)
			_, err = run.Resume(t.Context(), dir, o)
			if err == nil || errors.Is(err, train.ErrInterrupted) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "adapter", "last")); c.stop != 7 && err == nil {
				finiteFiles(t, filepath.Join(dir, "adapter"))
			}
			after, err := train.LatestCheckpoint(dir)
			if err != nil || after.Dir != latest.Dir {
				t.Errorf("the newest checkpoint is %+v (%v), want %s", after, err, latest.Dir)
			}
		})
	}
}
