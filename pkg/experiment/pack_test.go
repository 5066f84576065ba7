package experiment

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/train"
)

// unpacked is an archive's folder.
func unpacked(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(zip)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, header.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := copyTo(to, archive); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "question")
}

// packedPlans are those of a packed folder.
func packedPlans(t *testing.T, folder string) (Plans, *Places) {
	t.Helper()
	all, places, err := ReadPacked(folder)
	if err != nil {
		t.Fatal(err)
	}
	var plans Plans
	for _, e := range all {
		p, err := e.Plan()
		if err != nil {
			t.Fatal(err)
		}
		plans = append(plans, p)
	}
	return plans, places
}

// A packed experiment has the runs, and makes the numbers, that it would make here, in
// another folder and without the environment; its records count as done here.
func TestPackAndTake(t *testing.T) {
	for _, dtype := range []string{"bf16", "fp32", "auto"} {
		t.Run(dtype, func(t *testing.T) {
			text := `
set: {train.epochs: 1, model.dtype: ` + dtype + `}
grid: {adapter.method: [metatt4d, full], train.seed: [1, 2]}
choose: {values: {train.lr: [1e-3, 5e-3]}, on: {train.seed: [9]}}
`
			env := func(name string) (string, bool) {
				switch name {
				case "METATT_TRAIN_WARMUP":
					return "0.3", true
				case "METATT_TASKS_MRPC_LR": // of one task's section
					return "4e-3", true
				}
				return "", false
			}
			read := func(file string) *Plan {
				e, err := Read(file, env)
				if err != nil {
					t.Fatal(err)
				}
				p, err := e.Plan()
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			whole := read(written(t, text))
			if err := whole.Execute(t.Context(), Options{}); err != nil {
				t.Fatal(err)
			}

			here := read(written(t, text))
			program := filepath.Join(t.TempDir(), "program")
			if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			archive := filepath.Join(t.TempDir(), "packed.tar.gz")
			notes, err := Plans{here}.Pack(t.Context(), archive, program, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if said := strings.Contains(strings.Join(notes, "\n"), "full starts from weights rounded to bf16"); said != (dtype == "bf16") {
				t.Error(notes)
			}
			folder := unpacked(t, archive)
			for _, name := range []string{"finetune", "run.sh", "helper/build.sh", "glue/MRPC/train.tsv", "models/0/model.safetensors"} {
				if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
					t.Error(err)
				}
			}
			plans, places := packedPlans(t, folder)
			there := plans[0]
			if err := there.Execute(t.Context(), Options{Places: places}); err != nil {
				t.Fatal(err)
			}
			if states(there) != states(whole) {
				t.Fatalf("%s, want %s", states(there), states(whole))
			}
			for i, r := range there.Runs {
				got, err := os.ReadFile(filepath.Join(r.Dir, train.MetricsFile))
				want, other := os.ReadFile(filepath.Join(whole.Runs[i].Dir, train.MetricsFile))
				if err != nil || other != nil {
					t.Fatal(err, other)
				}
				// Full fine-tuning has fp32 masters of the weights.
				if same := bytes.Equal(got, want); !same && (dtype == "fp32" || r.Config.Adapter.Method != "full") {
					t.Errorf("%s: its metrics are others", r.Name)
				}
			}

			records := filepath.Join(t.TempDir(), "records.tar.gz")
			if count, err := (Plans{there}).Records(records); err != nil || count != 8 {
				t.Fatal(count, err)
			}
			count, notes, err := Plans{here}.Take(records)
			if err != nil || count != 8 || len(notes) > 0 {
				t.Fatal(count, notes, err)
			}
			if err := here.Refresh(); err != nil {
				t.Fatal(err)
			}
			if states(here) != states(whole) {
				t.Errorf("%s", states(here))
			}
			for i, r := range here.Runs {
				got, err := record.Read(r.Dir)
				want, other := record.Read(whole.Runs[i].Dir)
				if err != nil || other != nil || got.Config.Model != want.Config.Model || got.Config.Data != want.Config.Data {
					t.Errorf("%s: %v %v: names other places than a run that was made here", r.Name, err, other)
				}
			}
			// Taken once more, they are there already; of another experiment they are not.
			if count, notes, err = (Plans{here}).Take(records); err != nil || count != 0 || len(notes) != 1 || notes[0] != "records that are here already: 8" {
				t.Error(count, notes, err)
			}
			other := read(written(t, "grid: {train.seed: [77]}"))
			if count, notes, err = (Plans{other}).Take(records); err != nil || count != 0 || len(notes) != 8 || !strings.Contains(notes[0], "is of no run of this experiment") {
				t.Error(count, notes, err)
			}
		})
	}
}

// Runs that have ended count where they are packed to, without their predictions, which are
// the most of a record and are of no use there.
func TestPackedRunsHaveEnded(t *testing.T) {
	e, err := Read(written(t, "set: {train.epochs: 1, run.predictions: true}\ngrid: {train.seed: [1, 2]}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	here, err := e.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if err := here.Execute(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(here.Runs[0].Dir, train.PredictionsFile)); err != nil {
		t.Fatal(err)
	}
	program, archive := filepath.Join(t.TempDir(), "program"), filepath.Join(t.TempDir(), "packed.tar.gz")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := (Plans{here}).Pack(t.Context(), archive, program, Options{}); err != nil {
		t.Fatal(err)
	}
	folder := unpacked(t, archive)
	plans, _ := packedPlans(t, folder)
	if err := plans.Refresh(); err != nil {
		t.Fatal(err)
	}
	for _, r := range plans[0].Runs {
		if r.State != Ended {
			t.Errorf("%s is %v there", r.Name, r.State)
		}
	}
	err = filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Base(path) == train.PredictionsFile {
			t.Errorf("%s goes along", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What is taken is records alone: nothing else, and nowhere else.
func TestTakeRefuses(t *testing.T) {
	p := planned(t, "grid: {train.seed: [1]}")
	archive := func(entries ...tar.Header) string {
		var out bytes.Buffer
		zip := gzip.NewWriter(&out)
		w := tar.NewWriter(zip)
		for _, header := range entries {
			if err := w.WriteHeader(&header); err != nil {
				t.Fatal(err)
			}
			if header.Size <= 1 {
				if _, err := w.Write(make([]byte, header.Size)); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = w.Flush()
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "records.tar.gz")
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	reg := func(name string, size int64) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644}
	}
	for want, file := range map[string]string{
		"is no file of a record":    archive(reg("../../summary.json", 1)),
		`"./summary.json" is no`:    archive(reg("./summary.json", 1)),
		`"a/../summary.json" is no`: archive(reg("a/../summary.json", 1)),
		`"/etc/summary.json"`:       archive(reg("/etc/summary.json", 1)),
		`"run/adapter.safetensors"`: archive(reg("run/adapter.safetensors", 1)),
		`"run/config.yaml" is no`:   archive(tar.Header{Typeflag: tar.TypeSymlink, Name: "run/config.yaml", Linkname: "/etc/passwd"}),
		"more than a record's file": archive(reg("run/metrics.jsonl", mostRecord+1)),
		"unexpected EOF":            archive(reg("run/metrics.jsonl", 100)),
		"file exists":               archive(reg("run/summary.json", 1), reg("run/summary.json", 1)),
		"no such file":              filepath.Join(t.TempDir(), "nothing"),
		"invalid header":            written(t, ""),
	} {
		count, _, err := Plans{p}.Take(file)
		if err == nil || count != 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%d, %v, want %s", count, err, want)
		}
	}
	entries, err := os.ReadDir(p.Dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("%v left behind, %v", entries, err)
	}
}

// Weights are rounded as libtorch rounds them.
func TestRoundedWeights(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/tiny-bert")); err != nil {
		t.Fatal(err)
	}
	if err := roundWeights("testdata/tiny-bert", filepath.Join(dir, "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	sums := map[string][]byte{}
	for _, from := range []string{"testdata/tiny-bert", dir} {
		b, err := models.LoadBackbone(from, torch.BFloat16, torch.CPU)
		if err != nil {
			t.Fatal(err)
		}
		if err := torch.Do(func() error {
			for _, p := range b.Weights() {
				data := p.Tensor.Contiguous().Bytes()
				if want, known := sums[p.Name]; known && !bytes.Equal(data, want) {
					t.Errorf("%s is another", p.Name)
				}
				sums[p.Name] = bytes.Clone(data)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		b.Free()
	}
	// Ties, the largest, infinities, NaN.
	for bits, want := range map[uint32]uint16{0x3f808000: 0x3f80, 0x3f818000: 0x3f82, 0x3f808001: 0x3f81, 0x7f7fffff: 0x7f80, 0xff800000: 0xff80, 0x7f800001: 0x7fc0} {
		data := []byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)}
		if got := rounded(data); got[0] != byte(want) || got[1] != byte(want>>8) {
			t.Errorf("%x (%g) is %x, want %x", bits, math.Float32frombits(bits), got, want)
		}
	}
}

func TestReadPackedRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := ReadPacked(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, text := range []string{"{}", "[", `{"experiments": [{}]}`, `{"experiments": [null], "places": {}}`, `{"experiments": [], "places": {}}`} {
		if err := os.WriteFile(filepath.Join(dir, packedFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadPacked(dir); err == nil || !strings.Contains(err.Error(), packedFile) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Own data goes along, whole or in parts.
func TestPackOwnData(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a-0.csv": "text,label\nthe king,x\na cat,y\n", "a-1.csv": "text,label\na river,y\na bell,x\n", "dev.csv": "text,label\nthe king,x\na river,y\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := planned(t, "set: {task: custom, data.glue: \"\", data.train: "+filepath.Join(dir, "a-*.csv")+", data.dev: "+filepath.Join(dir, "dev.csv")+
		", train.max_steps: 2}\ngrid: {train.seed: [1]}")
	archive := filepath.Join(t.TempDir(), "packed.tar.gz")
	if _, err := (Plans{p}).Pack(t.Context(), archive, filepath.Join(dir, "dev.csv"), Options{}); err != nil {
		t.Fatal(err)
	}
	folder := unpacked(t, archive)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	plans, places := packedPlans(t, folder)
	there := plans[0]
	if err := there.Execute(t.Context(), Options{Places: places}); err != nil || there.Runs[0].State != Ended {
		t.Fatal(err, there.Runs[0].State, there.Runs[0].Failure)
	}
}
