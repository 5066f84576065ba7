package torch_test

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/metatt/metatt/pkg/torch"
)

// compute runs f inside the boundary and fails the test on an error.
func compute(t *testing.T, f func()) {
	t.Helper()
	if err := torch.Do(func() error { f(); return nil }); err != nil {
		t.Fatal(err)
	}
}

func near(t *testing.T, what string, got []float32, want ...float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Abs(float64(got[i]-want[i])) > 1e-5*(1+math.Abs(float64(want[i]))) {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
	}
}

func TestSliceRoundTrip(t *testing.T) {
	compute(t, func() {
		near(t, "float32", torch.ToSlice[float32](torch.FromSlice([]float32{1, 2, 3, 4, 5, 6}, 2, 3).T()), 1, 4, 2, 5, 3, 6)
		ids := torch.FromSlice([]int64{7, -1, 1 << 40}, 3)
		if got := torch.ToSlice[int64](ids); got[2] != 1<<40 || got[1] != -1 {
			t.Errorf("int64: %v", got)
		}
		if got := torch.ToSlice[float64](torch.FromSlice([]float64{}, 0, 3)); len(got) != 0 {
			t.Errorf("empty: %v", got)
		}
		if got := torch.FromSlice([]float64{2.5}, 1, 1).Item(); got != 2.5 {
			t.Errorf("item: %v", got)
		}
	})
}

func TestErrorsNameOperationAndShapes(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func()
		want []string
		kind error
	}{
		{"shape mismatch", func() {
			torch.Zeros(torch.Float32, torch.CPU, 2, 3).MatMul(torch.Zeros(torch.Float32, torch.CPU, 4, 5))
		}, []string{"matmul(", "float32[2 3]", "float32[4 5]"}, nil},
		{"linear with a bias of the wrong size", func() {
			torch.Zeros(torch.Float32, torch.CPU, 2, 3).Linear(torch.Zeros(torch.Float32, torch.CPU, 4, 3), torch.Zeros(torch.Float32, torch.CPU, 5))
		}, []string{"linear(", "float32[5]"}, nil},
		{"out of memory", func() { torch.Zeros(torch.Float32, torch.CPU, 1<<40) },
			[]string{"zeros: ", "shape [1099511627776]"}, torch.ErrOutOfMemory},
		{"no such device", func() { torch.Zeros(torch.Float32, torch.CPU, 2).To(torch.CUDA(93)) },
			[]string{"to(", "float32[2]"}, torch.ErrDevice},
		{"use after free", func() {
			x := torch.Zeros(torch.Float32, torch.CPU, 2)
			x.Free()
			x.Neg()
		}, []string{"neg: use of a freed tensor"}, nil},
		{"nil tensor", func() { torch.Zeros(torch.Float32, torch.CPU, 2).Add(nil) }, []string{"add: nil tensor"}, nil},
		{"wrong element count", func() { torch.FromSlice([]float32{1, 2, 3}, 2, 2) }, []string{"3 elements", "[2 2]"}, nil},
		{"wrong element type", func() { torch.ToSlice[float32](torch.Zeros(torch.Int64, torch.CPU, 2)) }, []string{"int64", "float32"}, nil},
		{"dropout of everything", func() { torch.Zeros(torch.Float32, torch.CPU, 2).Dropout(1) }, []string{"dropout", "[0, 1)"}, nil},
		{"index out of range", func() {
			torch.Zeros(torch.Float32, torch.CPU, 2, 3).Rows(torch.FromSlice([]int64{2}))
		}, []string{"rows(", "int64[1]"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := torch.Do(func() error { c.f(); return nil })
			var e *torch.Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want a *torch.Error", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error is not one line: %q", err)
			}
			if c.kind != nil && !errors.Is(err, c.kind) {
				t.Errorf("error %q is not %v", err, c.kind)
			}
		})
	}
}

func TestMissingDeviceIsAnError(t *testing.T) {
	if _, err := torch.ParseDevice("cuda:93"); !errors.Is(err, torch.ErrDevice) {
		t.Errorf("cuda:93: %v, want ErrDevice", err)
	}
	for _, bad := range []string{"", "gpu", "cuda:x", "cuda:-1"} {
		if _, err := torch.ParseDevice(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if d, err := torch.ParseDevice("cpu"); d != torch.CPU || err != nil {
		t.Errorf("cpu: %v, %v", d, err)
	}
}

func TestScopesOwnWhatIsMadeInThem(t *testing.T) {
	var kept, inner, escaped, outer *torch.Tensor
	compute(t, func() {
		outer = torch.Zeros(torch.Float32, torch.CPU, 2)
		torch.Scoped(func() {
			inner = outer.AddScalar(1)
			escaped = outer.AddScalar(2).Escape()
			kept = outer.AddScalar(3).Keep()
			outer.Escape() // belongs to the outer scope: stays there
		})
		if !inner.Freed() || escaped.Freed() || kept.Freed() || outer.Freed() {
			t.Errorf("after the inner scope: inner %v escaped %v kept %v outer %v", inner.Freed(), escaped.Freed(), kept.Freed(), outer.Freed())
		}
		near(t, "escaped", torch.ToSlice[float32](escaped), 2, 2)
	})
	if !escaped.Freed() || !outer.Freed() || kept.Freed() {
		t.Errorf("after Do: escaped %v outer %v kept %v", escaped.Freed(), outer.Freed(), kept.Freed())
	}
	compute(t, func() { near(t, "kept", torch.ToSlice[float32](kept), 3, 3) })
	kept.Free()
	kept.Free()
	if !kept.Freed() {
		t.Error("kept tensor is not freed")
	}
}

func TestFailureFreesAndRestores(t *testing.T) {
	var made []*torch.Tensor
	err := torch.Do(func() error {
		torch.NoGrad(func() {
			torch.Scoped(func() {
				made = append(made, torch.Zeros(torch.Float32, torch.CPU, 2))
				made[0].MatMul(torch.Zeros(torch.Float32, torch.CPU, 3, 3))
			})
		})
		return nil
	})
	if err == nil || !made[0].Freed() {
		t.Fatalf("error %v, freed %v", err, made[0].Freed())
	}
	compute(t, func() {
		if !torch.GradEnabled() {
			t.Error("grad mode stayed off after a failure")
		}
	})
}

func TestOtherPanicsPassThrough(t *testing.T) {
	var x *torch.Tensor
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a programming error was swallowed")
			}
		}()
		_ = torch.Do(func() error {
			x = torch.Zeros(torch.Float32, torch.CPU, 2)
			panic("a programming error")
		})
	}()
	if !x.Freed() {
		t.Error("tensor not freed")
	}
	compute(t, func() {}) // the engine is free again
}

func TestCleanupHidesNothing(t *testing.T) {
	first, second := torch.Errorf("first", "of the work"), torch.Errorf("second", "of the cleanup")
	plain := errors.New("of the work")
	for name, test := range map[string]struct {
		work func() error
		want error
	}{
		"panic":   {func() error { panic(first) }, first},
		"error":   {func() error { return plain }, plain},
		"success": {func() error { return nil }, second},
	} {
		err := torch.Do(func() (err error) {
			defer torch.Finally(&err, func() { panic(second) })
			return test.work()
		})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v in the place of %v", name, err, test.want)
		}
	}
	cleaned := 0
	for _, work := range []func() error{func() error { panic(first) }, func() error { return plain }, func() error { return nil }} {
		_ = torch.Do(func() (err error) {
			defer torch.Finally(&err, func() { cleaned++ })
			return work()
		})
	}
	if cleaned != 3 {
		t.Errorf("cleaned up after %d of 3", cleaned)
	}
	defer func() {
		if p := recover(); p != "a programming error" {
			t.Errorf("panic %v", p)
		}
	}()
	_ = torch.Do(func() (err error) {
		defer torch.Finally(&err, func() { panic("a programming error") })
		return plain
	})
}

func TestOperationOutsideDoIsNamed(t *testing.T) {
	defer func() {
		e, ok := recover().(*torch.Error)
		if !ok || !strings.Contains(e.Error(), "outside torch.Do") {
			t.Errorf("panic %v", e)
		}
	}()
	torch.Zeros(torch.Float32, torch.CPU, 2)
}

func TestNoGradNests(t *testing.T) {
	compute(t, func() {
		torch.NoGrad(func() {
			torch.NoGrad(func() {})
			if torch.GradEnabled() {
				t.Error("inner NoGrad turned recording on")
			}
			if err := torch.Do(func() error { panic(torch.Errorf("test", "boom")) }); err == nil {
				t.Error("nested Do lost the error")
			}
			if torch.GradEnabled() {
				t.Error("nested Do turned recording on")
			}
		})
		if !torch.GradEnabled() {
			t.Error("recording stayed off")
		}
	})
}

func TestGoroutinesTakeTurns(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				err := torch.Do(func() error {
					return torch.Do(func() error { // nested on the same thread
						x := torch.Ones(torch.Float32, torch.CPU, 3).MulScalar(float64(i))
						if got := x.Sum().Item(); got != float64(3*i) {
							t.Errorf("sum %v, want %d", got, 3*i)
						}
						return nil
					})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestGradients(t *testing.T) {
	compute(t, func() {
		x := torch.FromSlice([]float32{1, 2, 3}).SetRequiresGrad(true)
		unused := torch.Ones(torch.Float32, torch.CPU, 2, 2).SetRequiresGrad(true)
		g := torch.Gradients(x.Square().Sum(), []*torch.Tensor{x, unused})
		near(t, "d/dx Σx²", torch.ToSlice[float32](g[0]), 2, 4, 6)
		near(t, "unused", torch.ToSlice[float32](g[1]), 0, 0, 0, 0)
	})
}

func TestSeedRepeats(t *testing.T) {
	compute(t, func() {
		draw := func(seed uint64) []float32 {
			torch.Seed(seed)
			return torch.ToSlice[float32](torch.Randn(torch.Float32, torch.CPU, 33))
		}
		near(t, "same seed", draw(1<<63+5), draw(1<<63+5)...)
		if draw(1)[0] == draw(2)[0] {
			t.Error("different seeds drew the same number")
		}
	})
}

// Dropout's probability has to be right to 1e-4; with 2²⁴ decisions the
// standard deviation of the share is 7e-5, so the bound below is four of them
// above what is met.
func TestDropoutProbabilityAndScale(t *testing.T) {
	compute(t, func() {
		const n = 1 << 24
		for _, dtype := range []torch.DType{torch.Float32, torch.BFloat16} {
			torch.Seed(3)
			x := torch.Ones(dtype, torch.CPU, n)
			y := x.Dropout(0.1).ToDType(torch.Float32)
			kept := y.GEScalar(0.5).ToDType(torch.Float32).Mean().Item()
			if math.Abs(kept-0.9) > 4*7.4e-5 {
				t.Errorf("%s: share kept %v, want 0.9", dtype, kept)
			}
			// bfloat16 has 8 bits: 1/0.9 rounds to within 2⁻⁹ of it.
			if top := y.Max().Item(); math.Abs(top-1/0.9) > 1/0.9/256 {
				t.Errorf("%s: kept elements are %v, want %v", dtype, top, 1/0.9)
			}
		}
		x := torch.Ones(torch.Float32, torch.CPU, 5, 7).SetRequiresGrad(true)
		torch.Seed(4)
		y := x.Dropout(0.5)
		g := torch.Gradients(y.Sum(), []*torch.Tensor{x})
		near(t, "gradient is the mask", torch.ToSlice[float32](g[0]), torch.ToSlice[float32](y.Detach())...)
		if x.Dropout(0) != x {
			t.Error("dropout 0 is not the identity")
		}
	})
}

// Reference values from PyTorch 2.11 for the same inputs.
func TestNetworkOperations(t *testing.T) {
	compute(t, func() {
		x := torch.FromSlice([]float32{-1, 0.5, 2, 3, -0.25, 1}, 2, 3)
		near(t, "gelu", torch.ToSlice[float32](x.GELU(false)), -0.15865526, 0.34573123, 1.9544997, 2.9959502, -0.10032341, 0.8413447)
		near(t, "gelu tanh", torch.ToSlice[float32](x.GELU(true)), -0.15880796, 0.34571400, 1.9545977, 2.9963627, -0.10032123, 0.8411920)
		near(t, "softmax", torch.ToSlice[float32](torch.FromSlice([]float32{0, float32(math.Log(3))}, 1, 2).Softmax(-1)), 0.25, 0.75)
		near(t, "layer norm", torch.ToSlice[float32](torch.FromSlice([]float32{1, 3}, 1, 2).LayerNorm(
			torch.FromSlice([]float32{2, 2}), torch.FromSlice([]float32{1, 1}), 0)), -1, 3)
		near(t, "linear", torch.ToSlice[float32](torch.FromSlice([]float32{1, 2}, 1, 2).Linear(
			torch.FromSlice([]float32{1, 0, 0, 1, 1, 1}, 3, 2), torch.FromSlice([]float32{0, 0, 10}))), 1, 2, 13)
		near(t, "rows", torch.ToSlice[float32](x.Rows(torch.FromSlice([]int64{1, 1, 0}))), 3, -0.25, 1, 3, -0.25, 1, -1, 0.5, 2)
		near(t, "cross entropy", []float32{float32(torch.FromSlice([]float32{0, float32(math.Log(3))}, 1, 2).CrossEntropy(torch.FromSlice([]int64{1})).Item())}, float32(-math.Log(0.75)))
		u, s, v := x.SVD()
		near(t, "svd", torch.ToSlice[float32](u.Mul(s).MatMul(v.T())), torch.ToSlice[float32](x)...)
		q, r := x.QR()
		near(t, "qr", torch.ToSlice[float32](q.MatMul(r)), torch.ToSlice[float32](x)...)
		near(t, "r", torch.ToSlice[float32](x.RFactor()), torch.ToSlice[float32](r)...)
	})
}

func TestEnvironment(t *testing.T) {
	e := torch.ReadEnvironment()
	if !strings.HasSuffix(e.Path, "/libtorch_cpu.so") || e.Version == "unknown" || e.ABI == "unknown" || e.Threads < 1 {
		t.Errorf("%+v", e)
	}
}

func TestOneThread(t *testing.T) {
	err := torch.Do(func() error {
		before := torch.Threads()
		restore := torch.OneThread()
		if n := torch.Threads(); n != 1 {
			t.Errorf("%d threads", n)
		}
		restore()
		if n := torch.Threads(); n != before {
			t.Errorf("%d threads afterwards, %d before", n, before)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Inside NoGrad, products of the same numbers are the same bits, trained or not.
func TestMatMulBitsDoNotDependOnGrad(t *testing.T) {
	err := torch.Do(func() error {
		torch.Seed(3)
		random := func(shape ...int64) *torch.Tensor { return torch.Randn(torch.Float32, torch.CPU, shape...) }
		a, b, c := random(3, 8, 3, 37), random(37, 12), random(5, 12, 7)
		copied := func(x *torch.Tensor) *torch.Tensor { return x.Clone().SetRequiresGrad(true) }
		trainedA, trainedB, trainedC := copied(a), copied(b), copied(c)
		torch.NoGrad(func() {
			view := func(x *torch.Tensor) *torch.Tensor { return x.Reshape(x.Shape()...) }
			if !a.MatMul(b).Equal(view(trainedA).MatMul(view(trainedB))) || !a.MatMul(b).Equal(a.MatMul(view(trainedB))) {
				t.Error("a batch times a matrix")
			}
			if !b.MatMul(c).Equal(view(trainedB).MatMul(view(trainedC))) || !b.MatMul(c).Equal(view(trainedB).MatMul(c)) {
				t.Error("a matrix times a batch")
			}
		})
		if !trainedA.MatMul(trainedB).RequiresGrad() {
			t.Error("nothing is recorded outside")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The norm of millions of elements is as good as that of few.
func TestNormOfMany(t *testing.T) {
	compute(t, func() {
		for _, n := range []int64{0, 1, 4095, 4096, 4097, 3_000_001} {
			for dtype, tolerance := range map[torch.DType]float64{torch.Float32: 2e-6, torch.BFloat16: 2e-6} {
				got := torch.Ones(dtype, torch.CPU, n).MulScalar(0.5).NormFloat32()
				if want := 0.5 * math.Sqrt(float64(n)); math.Abs(got.Item()-want) > tolerance*want || got.DType() != torch.Float32 {
					t.Errorf("%d of %s: %v, want %v", n, dtype, got.Item(), want)
				}
			}
		}
	})
}

func TestMaxAbs(t *testing.T) {
	compute(t, func() {
		values := make([]float32, 70_003)
		values[69_999] = -9
		values[3] = 8
		if got := torch.FromSlice(values).MaxAbs().Item(); got != 9 {
			t.Errorf("%v, want 9", got)
		}
		if got := torch.FromSlice(values).Min().Item(); got != -9 {
			t.Errorf("%v, want -9", got)
		}
		for _, at := range []int{0, 3, 40_000, 70_002} {
			values[at] = float32(math.NaN())
			if got := torch.FromSlice(values).MaxAbs().Item(); !math.IsNaN(got) {
				t.Errorf("with NaN at %d: %v", at, got)
			}
			if got := torch.FromSlice(values).Min().Item(); !math.IsNaN(got) {
				t.Errorf("with NaN at %d, the smallest is %v", at, got)
			}
			values[at] = 0
		}
	})
}
