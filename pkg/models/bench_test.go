package models_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/bert"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/torch"
)

// BenchmarkLoad compares loading a checkpoint of bert-base's shape, 110 million
// fp32 parameters, with a plain read of the file into fresh memory; after each,
// every weight is summed once. It reports the ratio of the fastest times (at
// most 1.5) and the largest growth of resident memory while loading, as a
// multiple of the weights' bytes in the file or in the run's dtype, whichever is
// more (at most 1.3). Run it with -benchtime 1x.
//
// Each measurement is a process of its own: an allocator hands out again what
// an earlier load has freed, and such memory is not fresh.
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	config := &hf.Config{
		ModelType: "bert", VocabSize: 30522, HiddenSize: 768, NumHiddenLayers: 12, NumAttentionHeads: 12, IntermediateSize: 3072,
		MaxPositionEmbeddings: 512, TypeVocabSize: 2, HiddenAct: "gelu", LayerNormEps: 1e-12, InitializerRange: 0.02, ID2Label: []string{"a", "b"},
	}
	random, err := bert.New(config, encoder.Options{DType: torch.Float32, Device: torch.CPU})
	if err != nil {
		b.Fatal(err)
	}
	err = random.Save(dir)
	random.Free()
	if err != nil {
		b.Fatal(err)
	}
	for _, dtype := range []string{"fp32", "bf16"} {
		b.Run(dtype, func(b *testing.B) {
			for b.Loop() {
				plain, load, growth := math.Inf(1), math.Inf(1), 0.0
				for range 5 {
					r := measure(b, "plain", dir)
					l := measure(b, dtype, dir)
					if dtype == "fp32" && math.Abs(r.Sum-l.Sum) > 1 {
						b.Fatalf("the file's weights sum to %v, the model's to %v", r.Sum, l.Sum)
					}
					plain, load, growth = min(plain, r.Seconds), min(load, l.Seconds), max(growth, l.Growth)
				}
				b.ReportMetric(load/plain, "×plain-read")
				b.ReportMetric(load, "s/load")
				b.ReportMetric(growth, "×bytes-growth")
			}
		})
	}
}

// measured names, in the environment of a child process, what it measures.
const measured = "METATT_TEST_MEASURE_LOAD"

// measurement is what a child process prints.
type measurement struct{ Seconds, Sum, Growth float64 }

func TestMain(m *testing.M) {
	what := os.Getenv(measured)
	if what == "" {
		os.Exit(m.Run())
	}
	result, err := measureHere(what, os.Args[1])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(b *testing.B, what, dir string) (m measurement) {
	b.Helper()
	child := exec.Command(os.Args[0], dir)
	child.Env, child.Stderr = append(os.Environ(), measured+"="+what), os.Stderr
	out, err := child.Output()
	if err == nil {
		err = json.Unmarshal(out, &m)
	}
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// measureHere reads the file, or loads the model in that dtype.
func measureHere(what, dir string) (m measurement, err error) {
	path := filepath.Join(dir, "model.safetensors")
	stat, err := os.Stat(path)
	if err != nil {
		return m, err
	}
	before, err := memory("VmRSS")
	if err != nil {
		return m, err
	}
	began := time.Now()
	if what == "plain" {
		m.Sum, err = sumOfFile(path)
	} else {
		dtype := map[string]torch.DType{"fp32": torch.Float32, "bf16": torch.BFloat16}[what]
		var model *encoder.Model
		if model, err = models.Load(dir, encoder.Options{DType: dtype, Device: torch.CPU}); err != nil {
			return m, err
		}
		defer model.Free()
		peak, err := memory("VmHWM")
		if err != nil {
			return m, err
		}
		m.Growth = float64(peak-before) / float64(stat.Size())
		if m.Sum, err = sumOfModel(model); err != nil {
			return m, err
		}
	}
	m.Seconds = time.Since(began).Seconds()
	return m, err
}

func sumOfFile(path string) (float64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	header := binary.LittleEndian.Uint64(data)
	return sum(data[8+header:]), nil
}

// sum adds up float32s.
func sum(data []byte) float64 {
	var total float64
	for _, v := range unsafe.Slice((*float32)(unsafe.Pointer(&data[0])), len(data)/4) {
		total += float64(v)
	}
	return total
}

func sumOfModel(m *encoder.Model) (total float64, err error) {
	err = torch.Do(func() error {
		for _, w := range m.Weights() {
			if w.Tensor.DType() == torch.Float32 {
				total += sum(w.Tensor.Bytes())
			} else {
				torch.Scoped(func() { total += w.Tensor.ToDType(torch.Float32).Sum().Item() })
			}
		}
		return nil
	})
	return total, err
}

var kilobytes = regexp.MustCompile(`(?m)^(\w+):\s+(\d+) kB$`)

// memory is a field of /proc/self/status in bytes.
func memory(field string) (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for _, m := range kilobytes.FindAllStringSubmatch(string(text), -1) {
		if m[1] == field {
			n, err := strconv.ParseInt(m[2], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/self/status", field)
}
