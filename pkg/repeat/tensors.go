package repeat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/record"
	"github.com/metatt/metatt/pkg/safetensors"
)

// Adapter compares two adapters' tensors.
type Adapter struct {
	Name          string // of the folder: "last"
	Tensors, Same int    // in all; bit for bit
	Largest       float64
	In            string // the tensor of that, or one that has no counterpart of its shape
}

// compareAdapters compares those that stand in both run directories and are of the same step.
func (c *Comparison) compareAdapters(first, second *record.Run) error {
	entries, err := os.ReadDir(filepath.Join(first.Dir, "adapter"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	names := []string{"best", "last"}
	for _, e := range entries {
		if name := e.Name(); e.IsDir() && !strings.HasPrefix(name, ".") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if why := notCompared(name, first, second); why != "" {
			c.NotKept = append(c.NotKept, "adapter/"+name+": "+why)
			continue
		}
		a, err := compareAdapter(name, first.Dir, second.Dir)
		if err != nil {
			return err
		}
		c.Adapters = append(c.Adapters, a)
	}
	return nil
}

// notCompared says why the adapters of that name are not; empty: they are.
func notCompared(name string, first, second *record.Run) string {
	for _, r := range []*record.Run{first, second} {
		if _, err := os.Stat(filepath.Join(r.Dir, "adapter", name, adapter.WeightsFile)); err != nil {
			return r.Dir + " has none"
		}
	}
	switch {
	case name == "best" && best(first) != best(second):
		return fmt.Sprintf("of step %d in the run, of step %d in the repetition", best(first), best(second))
	case name == "last" && first.State == record.Unfinished:
		return "the run was not saved where its record ends"
	case name == "last" && first.Last() != second.Last():
		return fmt.Sprintf("of step %d in the run, of step %d in the repetition", first.Last(), second.Last())
	}
	return ""
}

// best is the step of the last evaluation that was the best.
func best(r *record.Run) (step int) {
	for _, e := range r.Evals {
		if e.Best {
			step = e.Step
		}
	}
	return step
}

func compareAdapter(name, first, second string) (a Adapter, err error) {
	a.Name = name
	var files [2]*safetensors.File
	for i, dir := range []string{first, second} {
		if files[i], err = safetensors.Open(filepath.Join(dir, "adapter", name, adapter.WeightsFile)); err != nil {
			return a, err
		}
		defer files[i].Close()
	}
	names := files[0].Names()
	for _, tensor := range files[1].Names() {
		if _, both := files[0].Info(tensor); !both {
			names = append(names, tensor)
		}
	}
	slices.Sort(names)
	for _, tensor := range names {
		difference, err := compareTensor(tensor, files[0].Tensors, files[1].Tensors)
		if err != nil {
			return a, err
		}
		a.Tensors++
		switch {
		case difference == 0:
			a.Same++
		case a.In == "" || difference > a.Largest:
			a.Largest, a.In = difference, tensor
		}
	}
	return a, nil
}

// compareTensor is the largest difference of two elements; 0: they are the same bit for bit; infinite: no numbers tell.
func compareTensor(name string, a, b *safetensors.Tensors) (float64, error) {
	here, inA := a.Info(name)
	there, inB := b.Info(name)
	if !inA || !inB || here.DType != there.DType || !slices.Equal(here.Shape, there.Shape) {
		return math.Inf(1), nil
	}
	x, y := make([]byte, here.Size), make([]byte, there.Size)
	if err := errors.Join(a.ReadInto(name, x), b.ReadInto(name, y)); err != nil {
		return 0, err
	}
	if bytes.Equal(x, y) {
		return 0, nil
	}
	largest := math.SmallestNonzeroFloat64 // 0 and -0 differ, too
	for i := 0; i < len(x); i += here.DType.Size() {
		p, q := element(here.DType, x[i:]), element(here.DType, y[i:])
		difference := math.Abs(p - q)
		if math.IsNaN(difference) && !bytes.Equal(x[i:i+here.DType.Size()], y[i:i+here.DType.Size()]) {
			return math.Inf(1), nil
		}
		largest = max(largest, difference)
	}
	return largest, nil
}

// element is a number in the formats that adapters are stored in, else none.
func element(dtype safetensors.DType, at []byte) float64 {
	switch dtype {
	case safetensors.F32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(at)))
	case safetensors.BF16:
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(at)) << 16))
	}
	return math.NaN()
}
