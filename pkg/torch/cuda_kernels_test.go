package torch

import (
	encoding "encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The kernels' own source, run by a thread of the CPU for each of the GPU's.
func TestKernelsOnTheCPU(t *testing.T) {
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no g++")
	}
	// Sequences of one, of none at the beginning and the end, and more than a warp asks for at once.
	many := maskedRows{offsets: []int32{0}, seed: -7<<40 | 12345, site: 3, threshold: 6554}
	for i := range int32(70) {
		many.offsets, many.keys = append(many.offsets, (i+1)/6), append(many.keys, 1000+i*i)
	}
	few := maskedRows{offsets: []int32{0, 0, 3, 4, 4, 9, 9}, keys: []int32{5, 9, 2, 77, 1, 3}, seed: 42, site: -1, threshold: 32768}
	none := maskedRows{offsets: few.offsets, keys: few.keys}
	for _, c := range []struct {
		bf16, hidden, vec, warps int
		rows                     maskedRows
	}{
		{0, 48, 4, 1, many}, {0, 132, 4, 1, none}, {1, 264, 8, 1, many}, {0, 37, 1, 1, few}, {1, 37, 1, 1, few}, {0, 1028, 4, 2, few}, {1, 2056, 8, 4, few},
	} {
		t.Run(fmt.Sprintf("bf16=%d,hidden=%d,vec=%d,dropout=%d", c.bf16, c.hidden, c.vec, c.rows.threshold), func(t *testing.T) {
			emulated{t.TempDir(), c.bf16 == 1, c.hidden, c.vec, c.warps, c.rows}.check(t)
		})
	}
}

// emulated is kernels compiled for the CPU for rows of one length.
type emulated struct {
	dir               string
	bf16              bool
	hidden, vec, warp int
	rows              maskedRows
}

func (e emulated) check(t *testing.T) {
	rows, hidden := e.rows.rows(), e.hidden
	random := rand.New(rand.NewPCG(1, uint64(hidden)))
	buffers := map[string][]float32{"y": nil, "residual": nil, "g": nil, "weight": make([]float32, hidden), "bias": make([]float32, hidden)}
	for name, b := range buffers {
		if b == nil {
			b = make([]float32, rows*hidden)
		}
		for i := range b {
			b[i] = float32(random.NormFloat64()) + 0.5
			if e.bf16 {
				b[i] = math.Float32frombits(uint32(toBFloat16(b[i])) << 16)
			}
		}
		buffers[name] = b
		e.write(t, name, b)
	}
	e.put(t, "offsets", e.rows.offsets)
	e.put(t, "keys", e.rows.keys)
	e.put(t, "seed", e.rows.seed)

	mask := e.rows.mask(hidden)
	if e.rows.threshold > 0 {
		e.run(t, "dropout.cu")
		for i, have := range e.read(t, "out") {
			if want := buffers["y"][i] * mask[i]; math.Abs(float64(have-want)) > e.tolerance(float64(want)) {
				t.Fatalf("dropout: element %d of row %d is %v, want %v", i%hidden, i/hidden, have, want)
			}
		}
	}
	e.run(t, "norm.cu", "-DNORM")
	want := referenceNorm(buffers, mask, rows, hidden)
	for _, name := range []string{"out", "dy", "dresidual"} {
		for i, have := range e.read(t, name) {
			if math.Abs(float64(have)-want[name][i]) > e.tolerance(want[name][i]) {
				t.Fatalf("norm: %s: element %d of row %d is %v, want %v", name, i%hidden, i/hidden, have, want[name][i])
			}
		}
	}
	normal := make([]float32, rows*hidden)
	e.get(t, "normal", normal)
	for i, have := range normal {
		if math.Abs(float64(have)-want["normal"][i]) > 1e-4 {
			t.Fatalf("norm: ẑ: element %d of row %d is %v, want %v", i%hidden, i/hidden, have, want["normal"][i])
		}
	}
}

// tolerance is of sums in fp32 and, for bf16, of one rounding to 8 bits.
func (e emulated) tolerance(want float64) float64 {
	if e.bf16 {
		return 1e-4 + math.Abs(want)/256
	}
	return 2e-5 * max(1, math.Abs(want))
}

// referenceNorm is the formulas of norm.cu in float64.
func referenceNorm(b map[string][]float32, mask []float32, rows, n int) map[string][]float64 {
	r := map[string][]float64{}
	for _, name := range []string{"out", "dy", "dresidual", "normal"} {
		r[name] = make([]float64, rows*n)
	}
	z, gw := make([]float64, n), make([]float64, n)
	for row := range rows {
		var mean, variance, sum, product float64
		at := row * n
		for i := range n {
			z[i] = float64(b["residual"][at+i]) + float64(b["y"][at+i])*float64(mask[at+i])
			mean += z[i] / float64(n)
		}
		for i := range n {
			variance += (z[i] - mean) * (z[i] - mean) / float64(n)
		}
		inverse := 1 / math.Sqrt(variance+1e-5)
		for i := range n {
			z[i] = (z[i] - mean) * inverse
			gw[i] = float64(b["g"][at+i]) * float64(b["weight"][i])
			sum += gw[i] / float64(n)
			product += gw[i] * z[i] / float64(n)
			r["normal"][at+i] = z[i]
			r["out"][at+i] = z[i]*float64(b["weight"][i]) + float64(b["bias"][i])
		}
		for i := range n {
			dz := inverse * (gw[i] - sum - z[i]*product)
			r["dresidual"][at+i] = dz
			r["dy"][at+i] = dz * float64(mask[at+i])
		}
	}
	return r
}

func (e emulated) run(t *testing.T, program string, flags ...string) {
	t.Helper()
	source, err := filepath.Abs("cuda/testdata/emulate.cpp")
	if err != nil {
		t.Fatal(err)
	}
	bf16 := 0
	if e.bf16 {
		bf16 = 1
	}
	// Nothing is rounded but as written: a multiplication and an addition may be one on a GPU.
	compile := exec.Command("g++", append(flags, "-std=c++17", "-O1", "-w", "-pthread", fmt.Sprintf(`-DPROGRAM="../source/%s"`, program), fmt.Sprintf("-DBF16=%d", bf16),
		fmt.Sprintf("-DHIDDEN=%d", e.hidden), fmt.Sprintf("-DVEC=%d", e.vec), fmt.Sprintf("-DWARPS=%d", e.warp), source, "-o", filepath.Join(e.dir, "emulate"))...)
	if text, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	run := exec.Command("./emulate", fmt.Sprint(e.rows.rows()), fmt.Sprint(e.rows.threshold), fmt.Sprint(e.rows.site), fmt.Sprint(e.rows.scale()))
	run.Dir = e.dir
	if text, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

func (e emulated) put(t *testing.T, name string, data any) {
	t.Helper()
	f, err := os.Create(filepath.Join(e.dir, name))
	if err == nil {
		err = encoding.Write(f, encoding.LittleEndian, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

func (e emulated) get(t *testing.T, name string, data any) {
	t.Helper()
	f, err := os.Open(filepath.Join(e.dir, name))
	if err == nil {
		err = encoding.Read(f, encoding.LittleEndian, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// write and read take elements in the kernels' type.
func (e emulated) write(t *testing.T, name string, data []float32) {
	if !e.bf16 {
		e.put(t, name, data)
		return
	}
	bits := make([]uint16, len(data))
	for i, x := range data {
		bits[i] = toBFloat16(x)
	}
	e.put(t, name, bits)
}

func (e emulated) read(t *testing.T, name string) []float32 {
	data := make([]float32, e.rows.rows()*e.hidden)
	if !e.bf16 {
		e.get(t, name, data)
		return data
	}
	bits := make([]uint16, len(data))
	e.get(t, name, bits)
	for i, b := range bits {
		data[i] = math.Float32frombits(uint32(b) << 16)
	}
	return data
}

// toBFloat16 rounds to the nearest.
func toBFloat16(x float32) uint16 {
	bits := math.Float32bits(x)
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
