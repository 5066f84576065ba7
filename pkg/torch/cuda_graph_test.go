package torch

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// A graph computes forward and backward again on what stands in its inputs.
func TestCUDAGraph(t *testing.T) {
	gpu(t, func(d Device) {
		weight := random(1, 24, 40).To(d).SetRequiresGrad(true)
		input := random(2, 8, 24).To(d)
		step := func() (*Tensor, *Tensor) {
			loss := input.MatMul(weight).Tanh().Square().Sum()
			return loss, Gradients(loss, []*Tensor{weight})[0]
		}
		Scoped(func() { step() })
		var loss, gradient *Tensor
		g, err := Capture(NewPool(), func() error {
			l, dw := step()
			loss, gradient = l.Keep(), dw.Keep()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Free()
		defer loss.Free()
		defer gradient.Free()
		for seed := range uint64(3) {
			NoGrad(func() { input.CopyFrom(random(10+seed, 8, 24).To(d)) })
			wantLoss, wantGradient := step()
			g.Replay()
			near(t, "loss", loss, wantLoss, 1e-6)
			near(t, "gradient", gradient, wantGradient, 1e-6)
		}
	})
}

// Graphs of one pool are replayed in turn.
func TestCUDAGraphsShareAPool(t *testing.T) {
	gpu(t, func(d Device) {
		pool := NewPool()
		input := random(3, 64, 64).To(d)
		var outs []*Tensor
		var graphs []*Graph
		for i := range 3 {
			step := func() *Tensor { return input.MatMul(input).MulScalar(float64(i + 1)).Tanh() }
			Scoped(func() { step() })
			g, err := Capture(pool, func() error {
				outs = append(outs, step().Keep())
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			graphs = append(graphs, g)
		}
		for _, i := range []int{0, 1, 2, 1, 0} {
			graphs[i].Replay()
			near(t, "result", outs[i], input.MatMul(input).MulScalar(float64(i+1)).Tanh(), 1e-6)
		}
		for i := range graphs {
			outs[i].Free()
			graphs[i].Free()
			graphs[i].Free()
		}
		if err := Do(func() error { graphs[0].Replay(); return nil }); err == nil || !strings.Contains(err.Error(), "freed") {
			t.Errorf("replay of a freed graph: %v", err)
		}
	})
}

// Random numbers of a replay are a function of the seed.
func TestCUDAGraphSeeds(t *testing.T) {
	gpu(t, func(d Device) {
		step := func() *Tensor { return Randn(Float32, d, 100) }
		Scoped(func() { step() })
		var out *Tensor
		g, err := Capture(NewPool(), func() error {
			out = step().Keep()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Free()
		defer out.Free()
		draw := func(seed uint64) []float32 {
			Seed(seed)
			g.Replay()
			return ToSlice[float32](out.To(CPU))
		}
		a, b, c := draw(5), draw(6), draw(5)
		if !slices.Equal(a, c) || slices.Equal(a, b) {
			t.Error("numbers do not follow the seed")
		}
		Seed(5)
		if eager := ToSlice[float32](step().To(CPU)); !slices.Equal(a, eager) {
			t.Error("a replay draws other numbers than the step itself")
		}
	})
}

// After a capture that fails all goes on, random numbers and captures too.
func TestCUDAGraphFails(t *testing.T) {
	gpu(t, func(d Device) {
		x := random(4, 16, 16).To(d)
		step := func() *Tensor { return x.MatMul(x).Dropout(0.5) }
		Scoped(func() { step() })
		wrong := errors.New("wrong")
		for name, f := range map[string]func() error{
			"reads the device":    func() error { step().Sum().Item(); return nil },
			"fails in the middle": func() error { step(); return wrong },
			"fails at once":       func() error { return wrong },
			"panics":              func() error { step(); panic(Errorf("test", "wrong")) },
			"wrong shapes":        func() error { step().MatMul(Zeros(Float32, d, 3, 3)); return nil },
		} {
			g, err := Capture(NewPool(), f)
			if err == nil || g != nil {
				t.Fatalf("%s: a capture succeeds", name)
			}
			if strings.HasPrefix(name, "fails") && !errors.Is(err, wrong) {
				t.Errorf("%s: %v", name, err)
			}
			if have := step().Sum().Item(); have != have {
				t.Errorf("%s: afterwards %v", name, have)
			}
			var out *Tensor
			g, err = Capture(NewPool(), func() error {
				out = step().Keep()
				return nil
			})
			if err != nil {
				t.Fatalf("%s: another capture afterwards: %v", name, err)
			}
			Seed(9)
			g.Replay()
			Seed(9)
			near(t, name, out, step(), 0)
			out.Free()
			g.Free()
		}
	})
}

func TestCUDAGraphOnTheDefaultStream(t *testing.T) {
	gpu(t, func(Device) {})
	err := Do(func() error {
		x := Ones(Float32, CUDA(0), 8)
		if _, err := Capture(NewPool(), func() error { x.Add(x); return nil }); err == nil || !strings.Contains(err.Error(), "stream") {
			t.Errorf("a capture on the default stream: %v", err)
		}
		if have := x.Add(x).Dropout(0.5).Sum().Item(); have != have {
			t.Errorf("afterwards %v", have)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// What needs a device or the helper says so on any machine.
func TestGraphsNeedADevice(t *testing.T) {
	for name, f := range map[string]func() error{
		"stream": func() error { EnterStream(CPU); return nil },
		"index":  func() error { EnterStream(CUDA(4096)); return nil },
		"pool": func() error {
			if CUDADevices() == 0 {
				NewPool()
			}
			return &Error{kind: ErrDevice}
		},
	} {
		if err := Do(f); !errors.Is(err, ErrDevice) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if CUDADevices() == 0 {
		if _, err := Capture(Pool{}, func() error { return nil }); err == nil {
			t.Error("a capture without a device succeeds")
		}
		if _, _, known := CUDA(0).PeakMemory(); known {
			t.Error("the memory of no device is known")
		}
	}
	if _, _, known := CPU.PeakMemory(); known {
		t.Error("the CPU's memory is known")
	}
}
