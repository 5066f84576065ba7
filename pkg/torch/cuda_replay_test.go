package torch

import "testing"

// Graphs capture the second time, replay from then on, and begin anew after they were
// told to forget; what they compute is what the computation is.
func TestCUDAGraphsForget(t *testing.T) {
	gpu(t, func(d Device) {
		graphs := NewGraphs(d, false)
		defer graphs.Forget()
		if !graphs.Static() {
			t.Fatal("a device that captures asks for no static buffers")
		}
		for round := range 3 {
			input, sum := random(1, 32, 32).To(d), Zeros(Float32, d, 32, 32)
			for step := range 4 {
				input.CopyFrom(random(uint64(2+step), 32, 32).To(d))
				out := graphs.Run("step", func() []*Tensor { return []*Tensor{sum.AddInPlace(input.MatMul(input)).Tanh()} })[0]
				near(t, "result", out, sum.Tanh(), 0)
			}
			want := Zeros(Float32, CPU, 32, 32)
			for step := range 4 {
				x := random(uint64(2+step), 32, 32)
				want.AddInPlace(x.MatMul(x))
			}
			near(t, "what the steps changed", sum, want, 1e-5)
			if err := graphs.Failed(); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			if c := graphs.all["step"]; c == nil || c.graph == nil {
				t.Fatalf("round %d: nothing was captured", round)
			}
			graphs.Forget()
		}
	})
}

// Where nothing is captured all runs as it is.
func TestGraphsOfNoDevice(t *testing.T) {
	err := Do(func() error {
		for _, graphs := range []*Graphs{nil, NewGraphs(CPU, false), NewGraphs(CPU, true)} {
			runs := 0
			for range 3 {
				graphs.Run("step", func() []*Tensor { runs++; return nil })
			}
			if runs != 3 || graphs.Failed() != nil {
				t.Errorf("%d runs, %v", runs, graphs.Failed())
			}
			graphs.Forget()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
