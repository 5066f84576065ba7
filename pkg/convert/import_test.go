package convert_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/torch"
)

// What is imported is (α/r) B A of the file's own tensors, with its head.
// parity/make_fixtures.py wrote the file: element i of tensor n is sin(n + i).
func TestImport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "mnli")
	imported, err := convert.Import(convert.ImportOptions{File: "testdata/bare-lora.bin", Dir: dir, Task: "mnli", Model: "roberta-base", Alpha: 6})
	if err != nil {
		t.Fatal(err)
	}
	if imported.Rank != 2 || imported.Layers != 3 || imported.Tensors != 16 || !slices.Equal(imported.Targets, []string{"query", "value"}) {
		t.Errorf("%+v", imported)
	}
	saved, err := adapter.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	model := adapter.Architecture{ModelType: "roberta", Hidden: 10, Layers: 3, Heads: 2, Intermediate: 21}
	a, err := saved.Open(model, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Free()
	if c := saved.Config; c.Method != "lora" || c.Alpha != 6 || !slices.Equal(c.Tasks, []string{"MNLI"}) || c.BaseModel != "roberta-base" {
		t.Errorf("%+v", c)
	}
	err = torch.Do(func() error {
		delta := torch.ToSlice[float32](a.Delta(model.Site(2, adapter.Value)).Detach().Contiguous())
		const down, up, scale = 10, 11, 6.0 / 2 // tensors of layer 2's value: the 11th and 12th
		for in := range 10 {
			for out := range 10 {
				var want float64
				for r := range 2 {
					want += scale * math.Sin(float64(down+10*r+in)) * math.Sin(float64(up+2*out+r))
				}
				// Two fp32 products of numbers up to 3.
				if got := float64(delta[10*in+out]); math.Abs(got-want) > 1e-5 {
					t.Errorf("ΔW[%d, %d] is %v, want %v", in, out, got, want)
				}
			}
		}
		bias := torch.Zeros(torch.Float32, torch.CPU, 3)
		if _, err := saved.LoadTaskHead("", []adapter.Parameter{{Name: "classifier.out_proj.bias", Tensor: bias}}); err != nil {
			return err
		}
		if got := torch.ToSlice[float32](bias)[1]; math.Abs(float64(got)-math.Sin(15+1)) > 1e-6 {
			t.Errorf("the head's bias is %v", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImportRejects(t *testing.T) {
	taken := t.TempDir()
	for name, c := range map[string]struct {
		options convert.ImportOptions
		want    []string
	}{
		"folder taken":   {convert.ImportOptions{File: "testdata/bare-lora.bin", Dir: taken, Task: "mnli", Alpha: 1}, []string{taken, "exists already"}},
		"no such task":   {convert.ImportOptions{File: "testdata/bare-lora.bin", Task: "mnl", Alpha: 1}, []string{"mnl"}},
		"no alpha":       {convert.ImportOptions{File: "testdata/bare-lora.bin", Task: "mnli"}, []string{"alpha 0"}},
		"no archive":     {convert.ImportOptions{File: "testdata/tiny.yaml", Task: "mnli", Alpha: 1}, []string{"testdata/tiny.yaml"}},
		"a whole model":  {convert.ImportOptions{File: "../models/testdata/bert-2018/pytorch_model.bin", Task: "mnli", Alpha: 1}, []string{"bert.embeddings", "no adapter of microsoft/LoRA"}},
		"no file at all": {convert.ImportOptions{File: "testdata/nothing.bin", Task: "mnli", Alpha: 1}, []string{"testdata/nothing.bin"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.options.Dir == "" {
				c.options.Dir = filepath.Join(t.TempDir(), "new")
			}
			_, err := convert.Import(c.options)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if _, err := os.Stat(filepath.Join(c.options.Dir, adapter.ConfigFile)); err == nil {
				t.Error("a folder was made")
			}
		})
	}
}
