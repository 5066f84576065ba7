package torch

import (
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/torch/native"
)

// What does not fit together is refused before a kernel reads it.
func TestNativeRefuses(t *testing.T) {
	s := packing{lengths: []int{2, 3}, keys: []int32{1, 2}, p: 0.1}
	y := func() *Tensor { return Zeros(Float32, CPU, 5, 12) }
	dropout := func(change func(d *nativeDrop)) func() {
		return func() {
			d := s.drop()
			change(&d)
			nativeDropout(y(), d)
		}
	}
	offsets := func(values ...int32) func() {
		return dropout(func(d *nativeDrop) { d.offsets = FromSlice(values) })
	}
	attention := func(q, k, v *Tensor, heads int64, queries, keys *Tensor) {
		nativeAttention(q, k, v, heads, queries, keys, nativeDrop{})
	}
	for _, c := range []struct {
		name, want string
		f          func()
	}{
		{"falling offsets", "dropout(float32[5 12]): offsets fall from 7 to 5 at sequence 1", offsets(0, 7, 5)},
		{"negative offsets", "offsets fall from 0 to -1 at sequence 0", offsets(0, -1, 5)},
		{"offsets that begin late", "offsets begin with 1, not with 0", offsets(1, 2, 5)},
		{"offsets that end early", "offsets end at 4, there are 5 rows", offsets(0, 2, 4)},
		{"offsets that end late", "offsets end at 6, there are 5 rows", offsets(0, 2, 6)},
		{"no offsets at all", "offsets are empty", offsets()},
		{"missing offsets", "offsets are missing", dropout(func(d *nativeDrop) { d.offsets = nil })},
		{"offsets of another type", "offsets are Long, not Int", dropout(func(d *nativeDrop) { d.offsets = d.offsets.ToDType(Int64) })},
		{"offsets with gaps", "not one dimension without gaps", dropout(func(d *nativeDrop) { d.offsets = FromSlice([]int32{0, 0, 2, 2, 5, 5}, 3, 2).Select(1, 0) })},
		{"missing keys", "keys are missing", dropout(func(d *nativeDrop) { d.keys = nil })},
		{"too few keys", "there are 1 keys for 2 sequences", dropout(func(d *nativeDrop) { d.keys = d.keys.Narrow(0, 0, 1) })},
		{"missing seed", "the seed's elements are missing", dropout(func(d *nativeDrop) { d.seed = nil })},
		{"two seeds", "the seed has 2 elements", dropout(func(d *nativeDrop) { d.seed = FromSlice([]int64{1, 2}) })},
		{"everything dropped", "probability 1 is not in [0, 1)", dropout(func(d *nativeDrop) { d.p = 1 })},
		{"all but everything dropped", "probability 0.999999 drops everything", dropout(func(d *nativeDrop) { d.p = 0.999999 })},
		{"no probability", "is not in [0, 1)", dropout(func(d *nativeDrop) { d.p = math.NaN() })},
		{"fp64", "y is Double, not Float or BFloat16", func() { nativeDropout(y().ToDType(Float64), s.drop()) }},
		{"one dimension", "y has shape [60], not 2 dimensions", func() { nativeDropout(y().Reshape(60), s.drop()) }},
		{"a sequence that is too long", "sequence 0 has 65537 rows", func() {
			nativeDropout(Zeros(Float32, CPU, 65537, 1), packing{lengths: []int{65537}, keys: []int32{0}, p: 0.1}.drop())
		}},
		{"residual of another shape", "residual has shape [5, 11], not [5, 12]", func() {
			nativeDropoutAddNorm(y(), Zeros(Float32, CPU, 5, 11), Ones(Float32, CPU, 12), Ones(Float32, CPU, 12), 1e-5, nativeDrop{})
		}},
		{"residual of another type", "residual is BFloat16, not Float", func() {
			nativeDropoutAddNorm(y(), y().ToDType(BFloat16), Ones(Float32, CPU, 12), Ones(Float32, CPU, 12), 1e-5, nativeDrop{})
		}},
		{"weight of another size", "weight has shape [5], not [12]", func() {
			nativeDropoutAddNorm(y(), y(), Ones(Float32, CPU, 5), Ones(Float32, CPU, 12), 1e-5, nativeDrop{})
		}},
		{"heads that do not divide", "attention(float32[5 12], float32[5 12], float32[5 12], int32[3], int32[3]): 5 heads do not divide 12 columns", func() {
			attention(y(), y(), y(), 5, s.offsets(), s.offsets())
		}},
		{"no heads", "0 heads", func() { attention(y(), y(), y(), 0, s.offsets(), s.offsets()) }},
		{"keys of another width", "k has shape [5, 11], not [5, 12]", func() {
			attention(y(), Zeros(Float32, CPU, 5, 11), y(), 2, s.offsets(), s.offsets())
		}},
		{"fewer values than keys", "v has shape [4, 12], not [5, 12]", func() {
			attention(y(), y(), Zeros(Float32, CPU, 4, 12), 2, s.offsets(), s.offsets())
		}},
		{"another number of sequences", "there are 1 sequences of queries and 2 of keys", func() {
			attention(y(), y(), y(), 2, FromSlice([]int32{0, 5}), s.offsets())
		}},
		{"queries' offsets that end late", "offsets of queries end at 9, there are 5 rows", func() {
			attention(y(), y(), y(), 2, FromSlice([]int32{0, 2, 9}), s.offsets())
		}},
		{"three parts that are none", "qkv has 13 columns", func() { nativeJoinedAttention(Zeros(Float32, CPU, 5, 13), 1, s.drop()) }},
		{"joined attention without offsets", "offsets of queries are missing", func() { nativeJoinedAttention(Zeros(Float32, CPU, 5, 12), 1, nativeDrop{}) }},
		{"integers", "x is Int, not Float or BFloat16", func() { nativeGELU(s.offsets(), false) }},
		{"fewer rows than are added to", "addmm_(float32[5 512], float32[1 512], float32[512 512]): ", func() {
			nativeAddMatMul(Zeros(Float32, CPU, 5, 512), Zeros(Float32, CPU, 1, 512), Zeros(Float32, CPU, 512, 512))
		}},
		{"fewer columns than are added to", "addmm_(float32[512 5], float32[512 512], float32[512 1]): ", func() {
			nativeAddMatMul(Zeros(Float32, CPU, 512, 5), Zeros(Float32, CPU, 512, 512), Zeros(Float32, CPU, 512, 1))
		}},
		{"a sum of another type", "addmm_(bfloat16[5 512], float32[5 512], float32[512 512]): ", func() {
			nativeAddMatMul(Zeros(BFloat16, CPU, 5, 512), Zeros(Float32, CPU, 5, 512), Zeros(Float32, CPU, 512, 512))
		}},
		{"a freed tensor", "gelu: use of a freed tensor", func() {
			x := y()
			x.Free()
			nativeGELU(x, false)
		}},
	} {
		err := Do(func() error { c.f(); return nil })
		if _, ok := err.(*Error); !ok || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// A probability that rounds to all of the decisions is refused everywhere in the same words.
func TestDropRefuses(t *testing.T) {
	for name, f := range map[string]func(y *Tensor, rows Sequences, d Drop){
		"Dropout":   func(y *Tensor, rows Sequences, d Drop) { y.Dropout(d.P) },
		"DropoutAt": func(y *Tensor, rows Sequences, d Drop) { y.DropoutAt(rows, d) },
		"in fp64":   func(y *Tensor, rows Sequences, d Drop) { y.ToDType(Float64).DropoutAt(rows, d) },
		"DropoutAddNorm": func(y *Tensor, rows Sequences, d Drop) {
			y.DropoutAddNorm(y, y.Select(0, 0), y.Select(0, 0), 1e-5, rows, d)
		},
		"Attention":       func(y *Tensor, rows Sequences, d Drop) { Attention(y, y, y, 2, rows, rows, d) },
		"JoinedAttention": func(y *Tensor, rows Sequences, d Drop) { y.JoinedAttention(2, rows, d) },
	} {
		err := Do(func() error {
			rows := Sequences{Offsets: FromSlice([]int32{0, 2, 5}), Longest: 3, Keys: FromSlice([]int32{1, 2})}
			f(Zeros(Float32, CPU, 5, 12), rows, Drop{P: 1 - 1.0/(1<<17), Seed: FromSlice([]int64{1})})
			return nil
		})
		if want := "dropout: probability 0.9999923706054688 drops everything: it is not below 1 - 2⁻¹⁷"; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if err := Do(func() error { Ones(Float32, CPU, 5, 12).Dropout(1 - 1.1/(1<<17)); return nil }); err != nil {
		t.Errorf("just below: %v", err)
	}
}

// Backward computes the masks again: offsets that were overwritten in between are an
// error, not other masks.
func TestNativeNoticesOverwrittenOffsets(t *testing.T) {
	err := Do(func() error {
		s := packing{lengths: []int{2, 3}, keys: []int32{1, 2}, p: 0.1}
		d, y := s.drop(), normal(Float32, 5, 12)
		loss := nativeDropout(y, d).Sum()
		d.offsets.CopyFrom(FromSlice([]int32{0, 3, 5}))
		Gradients(loss, []*Tensor{y})
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "modified by an inplace operation") {
		t.Errorf("backward = %v", err)
	}
}

// The variable is read once in a process: each case is one of its own.
func TestNativeVariable(t *testing.T) {
	const result = "kernels: "
	if os.Getenv("NATIVE_VARIABLE_TEST") != "" {
		err := Do(func() error { nativeGELU(Ones(Float32, CPU, 3), false); return nil })
		t.Logf("%s%v, %v", result, native.Name(), err)
		return
	}
	for value, want := range map[string]string{
		"generic": result + "generic, <nil>",
		"":        result + native.Name() + ", <nil>",
		"AVX":     "gelu: METATT_CPU: AVX: the CPU kernels are for avx512bf16, avx512, avx2 and generic",
	} {
		command := exec.Command(os.Args[0], "-test.run", "^TestNativeVariable$", "-test.v")
		command.Env = append(os.Environ(), "NATIVE_VARIABLE_TEST=1", native.Variable+"="+value)
		output, err := command.CombinedOutput()
		if err != nil || !strings.Contains(string(output), want) {
			t.Errorf("%s=%s: %v\n%s, want %q", native.Variable, value, err, output, want)
		}
	}
}
