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

// cudaTolerance is of fp32 sums, or of a few roundings to the 8 bits of bf16.
func cudaTolerance(dtype DType) float64 {
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
