package torch

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// What needs a GPU is in tests by the name of TestCUDA…, in all packages:
//
//	go test -run '^TestCUDA' ./...

// gpu is the device that a test runs on, skipped where there is none or no helper. What
// the test computes is inside [Do], on a stream of its own.
func gpu(t *testing.T, f func(d Device)) {
	t.Helper()
	if CUDADevices() == 0 {
		t.Skip("no CUDA device", WhyNoCUDA())
	}
	if _, err := Helper(); err != nil && os.Getenv(helperVariable) == "" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	err := Do(func() error {
		defer EnterStream(CUDA(0)).Leave()
		f(CUDA(0))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// random is (rows, n) of normal numbers that bf16 holds exactly.
func random(seed uint64, shape ...int64) *Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	data := make([]float32, n)
	for i := range data {
		data[i] = math.Float32frombits(uint32(toBFloat16(float32(r.NormFloat64()))) << 16)
	}
	return FromSlice(data, shape...)
}

// near compares a tensor of any dtype and device with the fp32 one that it should be, to a
// part of the largest element.
func near(t *testing.T, what string, have, want *Tensor, tolerance float64) {
	t.Helper()
	h, w := ToSlice[float32](have.To(CPU).ToDType(Float32).Contiguous()), ToSlice[float32](want.To(CPU).ToDType(Float32).Contiguous())
	if len(h) != len(w) {
		t.Fatalf("%s has shape %v, want %v", what, have.Shape(), want.Shape())
	}
	largest := 1e-3
	for _, x := range w {
		largest = max(largest, math.Abs(float64(x)))
	}
	worst, at := 0.0, 0
	for i := range h {
		if d := math.Abs(float64(h[i] - w[i])); !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= tolerance*largest) {
		t.Errorf("%s: element %d of %v is %v, want %v: off by %.2g of the largest", what, at, have.Shape(), h[at], w[at], worst/largest)
	}
}

// tolerance is of fp32 sums, or of a few roundings to the 8 bits of bf16.
func tolerance(dtype DType) float64 {
	if dtype == BFloat16 {
		return 1.6e-2
	}
	return 2e-5
}

func TestCUDADevice(t *testing.T) {
	gpu(t, func(d Device) {
		p, err := d.Properties()
		if err != nil || p.Name == "" || p.Major < 5 || p.Memory < 1<<30 {
			t.Errorf("properties %+v, %v", p, err)
		}
		if have := d.ComputesBFloat16(); have != (p.Major >= ampere) {
			t.Errorf("bf16 on capability %d.%d: %t", p.Major, p.Minor, have)
		}
		if e := ReadEnvironment(); len(e.CUDA) != CUDADevices() || e.CUDA[0] != p.Name || e.NoCUDA != "" || !strings.HasSuffix(e.Helper, ".so") {
			t.Errorf("environment %+v", e)
		}
		if _, err := CUDA(CUDADevices()).Properties(); !errors.Is(err, ErrDevice) {
			t.Errorf("properties of a device too many: %v", err)
		}
	})
}

func TestCUDAMemory(t *testing.T) {
	gpu(t, func(d Device) {
		const mib = 1 << 20
		d.ResetPeakMemory()
		before, _, known := d.PeakMemory()
		Scoped(func() { Zeros(Uint8, d, 64*mib) })
		after, reserved, _ := d.PeakMemory()
		if grown := after - before; !known || grown < 64*mib || grown > 80*mib || reserved < after {
			t.Errorf("64 MiB took the peak from %d to %d, %d reserved", before, after, reserved)
		}
		d.ResetPeakMemory()
		if now, _, _ := d.PeakMemory(); now >= after {
			t.Errorf("the peak after a reset is %d, it was %d", now, after)
		}
		ReleaseMemory()
	})
}

func TestCUDATF32(t *testing.T) {
	gpu(t, func(d Device) {
		if p, _ := d.Properties(); p.Major < ampere {
			t.Skipf("capability %d.%d has no TF32", p.Major, p.Minor)
		}
		defer TF32(false)
		one := FromSlice([]float32{1 + 1.0/4096}).To(d) // TF32 has 10 bits after the point
		x, w := one.Mul(Ones(Float32, d, 64, 64)), Ones(Float32, d, 64, 64)
		product := func(on bool) float64 {
			if !TF32(on) {
				t.Error("TF32 cannot be switched")
			}
			return x.MatMul(w).Max().Item()
		}
		exact, rounded, again := product(false), product(true), product(false)
		if exact != 64+64.0/4096 || rounded == exact || again != exact {
			t.Errorf("products of fp32, TF32, fp32: %v %v %v", exact, rounded, again)
		}
	})
}

func TestCUDAPinned(t *testing.T) {
	gpu(t, func(d Device) {
		p, back := NewPinned(d, 32), NewPinned(d, 32)
		defer p.Free()
		defer back.Free()
		for i := range p.Int32s() {
			p.Int32s()[i] = int32(i) - 3
		}
		on := Zeros(Int32, d, 2, 3)
		done := NewEvent()
		defer done.Free()
		p.Upload(on)
		back.Download(on.AddInPlace(on))
		done.Record()
		done.Wait()
		if !done.Done() {
			t.Error("an event that was waited for is not done")
		}
		for i, x := range back.Int32s()[:6] {
			if x != 2*(int32(i)-3) {
				t.Fatalf("back come %v", back.Int32s())
			}
		}
		for _, wrong := range []*Tensor{Zeros(Int32, d, 9), Zeros(Int32, d, 2, 4).T()} {
			if err := Do(func() error { p.Upload(wrong); return nil }); err == nil {
				t.Errorf("an upload to %v is taken", wrong.Shape())
			}
		}
	})
}

// Pinned memory is there on every machine.
func TestPinnedOnTheCPU(t *testing.T) {
	err := Do(func() error {
		p := NewPinned(CPU, 16)
		defer p.Free()
		copy(p.Float32s(), []float32{1, 2, 3, 4})
		x := Zeros(Float32, CPU, 3)
		p.Upload(x)
		if have := ToSlice[float32](x); have[0] != 1 || have[2] != 3 {
			t.Errorf("uploaded: %v", have)
		}
		p.Download(x.AddInPlace(x))
		if have := p.Float32s(); have[0] != 2 || have[2] != 6 || have[3] != 4 {
			t.Errorf("downloaded: %v", have)
		}
		p.Upload(Zeros(Float32, CPU, 5))
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "16 bytes for float32[5], which takes 20") {
		t.Errorf("an upload of too much: %v", err)
	}
}
