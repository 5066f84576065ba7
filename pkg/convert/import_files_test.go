package convert_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/convert"
	"github.com/metatt/metatt/pkg/torch"
)

// binTensor is a tensor of ones in a .bin file.
type binTensor struct {
	name, storage string // FloatStorage, HalfStorage, …
	shape         []int
}

// elements are one 1 of each type.
var elements = map[string][]byte{
	"FloatStorage": {0, 0, 0x80, 0x3f}, "HalfStorage": {0, 0x3c}, "BFloat16Storage": {0x80, 0x3f},
	"DoubleStorage": {0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, "LongStorage": {1, 0, 0, 0, 0, 0, 0, 0},
}

// writeBin writes tensors as torch.save writes a dict of them.
func writeBin(t *testing.T, tensors []binTensor) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "adapter.bin")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	archive := zip.NewWriter(f)
	store := func(name string, content []byte) {
		w, err := archive.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var program bytes.Buffer
	text := func(s string) {
		program.WriteByte('X')
		binary.Write(&program, binary.LittleEndian, uint32(len(s)))
		program.WriteString(s)
	}
	number := func(n int) {
		program.WriteByte('J')
		binary.Write(&program, binary.LittleEndian, int32(n))
	}
	program.WriteString("\x80\x02}(")
	for i, tensor := range tensors {
		n := 1
		for _, size := range tensor.shape {
			n *= size
		}
		store(fmt.Sprintf("data/%d", i), bytes.Repeat(elements[tensor.storage], n))
		text(tensor.name)
		program.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
		text("storage")
		program.WriteString("ctorch\n" + tensor.storage + "\n")
		text(fmt.Sprint(i))
		text("cpu")
		number(n)
		program.WriteString("tQ")
		number(0)
		program.WriteByte('(')
		for _, size := range tensor.shape {
			number(size)
		}
		program.WriteString("t(")
		for _, size := range tensor.shape {
			n /= max(size, 1)
			number(n)
		}
		program.WriteString("t\x89ccollections\nOrderedDict\n)RtR")
	}
	program.WriteString("u.")
	store("data.pkl", program.Bytes())
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// bareFile is an adapter of microsoft/LoRA for a family of width 6, feed-forward
// 10, of rank 2 on value and both feed-forward matrices of two layers.
func bareFile(family, storage string, labels int) (tensors []binTensor) {
	for layer := range 2 {
		for _, site := range []struct {
			module  string
			out, in int
		}{{"attention.self.value", 6, 6}, {"intermediate.dense", 10, 6}, {"output.dense", 6, 10}} {
			name := fmt.Sprintf("%s.encoder.layer.%d.%s.lora_", family, layer, site.module)
			tensors = append(tensors, binTensor{name + "A", storage, []int{2, site.in}}, binTensor{name + "B", storage, []int{site.out, 2}})
		}
	}
	head := []binTensor{{"classifier.weight", storage, []int{labels, 6}}, {"classifier.bias", storage, []int{labels}}}
	if family == "roberta" {
		head = []binTensor{
			{"classifier.dense.weight", storage, []int{6, 6}}, {"classifier.dense.bias", storage, []int{6}},
			{"classifier.out_proj.weight", storage, []int{labels, 6}}, {"classifier.out_proj.bias", storage, []int{labels}},
		}
	}
	return append(tensors, head...)
}

// Every element type is taken, of both families: ΔW of ones is α/r times r.
func TestImportOfEveryElementType(t *testing.T) {
	for _, family := range []string{"bert", "roberta"} {
		for _, storage := range []string{"FloatStorage", "HalfStorage", "BFloat16Storage", "DoubleStorage"} {
			dir := filepath.Join(t.TempDir(), "new")
			imported, err := convert.Import(convert.ImportOptions{File: writeBin(t, bareFile(family, storage, 2)), Dir: dir, Task: "rte", Alpha: 3})
			if err != nil {
				t.Errorf("%s of %s: %v", family, storage, err)
				continue
			}
			if got := fmt.Sprint(imported.Targets, imported.Layers, imported.Rank); got != "[value ffn_up ffn_down] 2 2" {
				t.Errorf("%s of %s: %s", family, storage, got)
			}
			saved, err := adapter.Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			model := adapter.Architecture{ModelType: family, Hidden: 6, Layers: 2, Heads: 3, Intermediate: 10}
			a, err := saved.Open(model, torch.CPU)
			if err != nil {
				t.Fatal(err)
			}
			err = torch.Do(func() error {
				for _, value := range torch.ToSlice[float32](a.Delta(model.Site(1, adapter.FFNDown)).Detach().Contiguous()) {
					if value != 3 {
						t.Errorf("%s of %s: ΔW has %v, want 3", family, storage, value)
					}
				}
				return nil
			})
			a.Free()
			saved.Close()
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What could not be used afterwards is no success, and leaves nothing.
func TestImportTriesWhatItWrote(t *testing.T) {
	without := func(part string) func([]binTensor) []binTensor {
		return func(tensors []binTensor) (left []binTensor) {
			for _, tensor := range tensors {
				if !strings.Contains(tensor.name, part) {
					left = append(left, tensor)
				}
			}
			return left
		}
	}
	with := func(more ...binTensor) func([]binTensor) []binTensor {
		return func(tensors []binTensor) []binTensor { return append(tensors, more...) }
	}
	changed := func(name string, tensor binTensor) func([]binTensor) []binTensor {
		return func(tensors []binTensor) []binTensor {
			for i := range tensors {
				if tensors[i].name == name {
					tensors[i] = tensor
				}
			}
			return tensors
		}
	}
	const value0 = "roberta.encoder.layer.0.attention.self.value."
	for name, c := range map[string]struct {
		change func([]binTensor) []binTensor
		want   string
	}{
		"no head":             {without("classifier"), "tensor classifier.dense.weight is missing, the head of RTE on a roberta of width 6 has it in shape [6 6]"},
		"half a head":         {without("classifier.dense"), "tensor classifier.dense.weight is missing"},
		"no bias":             {without("out_proj.bias"), "tensor classifier.out_proj.bias is missing"},
		"another family's":    {with(binTensor{"classifier.weight", "FloatStorage", []int{2, 6}}), "classifier.weight"},
		"another task's":      {changed("classifier.out_proj.weight", binTensor{"classifier.out_proj.weight", "FloatStorage", []int{3, 6}}), "tensor classifier.out_proj.weight has shape [3 6], the head of RTE on a roberta of width 6 has it in shape [2 6]"},
		"another width":       {changed("classifier.dense.weight", binTensor{"classifier.dense.weight", "FloatStorage", []int{5, 5}}), "tensor classifier.dense.weight has shape [5 5]"},
		"no B":                {without(value0 + "lora_B"), "layer.0.attention.self.value.lora_B.weight is missing"},
		"no A":                {without(value0 + "lora_A"), value0 + "lora_B"},
		"a layer less":        {without("layer.0."), "layer.0.attention.self.value"},
		"a matrix of others":  {changed(value0+"lora_A", binTensor{value0 + "lora_A", "FloatStorage", []int{2, 7}}), "shape"},
		"B of another rank":   {changed(value0+"lora_B", binTensor{value0 + "lora_B", "FloatStorage", []int{6, 3}}), "has shape [6 3]"},
		"whole numbers":       {changed(value0+"lora_A", binTensor{value0 + "lora_A", "LongStorage", []int{2, 6}}), "is I64, adapters are F32, F16, BF16 or F64"},
		"two families":        {with(binTensor{"bert.encoder.layer.0.attention.self.key.lora_A", "FloatStorage", []int{2, 6}}), "is a bert's, others are a roberta's"},
		"nothing but vectors": {changed(value0+"lora_A", binTensor{value0 + "lora_A", "FloatStorage", []int{12}}), "adapts no matrix of a layer"},
	} {
		t.Run(name, func(t *testing.T) {
			file, parent := writeBin(t, c.change(bareFile("roberta", "FloatStorage", 2))), t.TempDir()
			_, err := convert.Import(convert.ImportOptions{File: file, Dir: filepath.Join(parent, "a", "new"), Task: "rte", Alpha: 1})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), file+": ") || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), ".partial") {
				t.Errorf("%v, want %s: … %s", err, file, c.want)
			}
			if left, _ := os.ReadDir(parent); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}
