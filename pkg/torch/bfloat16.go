package torch

import (
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/cpu"
)

// ComputesBFloat16 reports whether the device computes products of bf16 faster
// than of fp32. A device without instructions for them does so in software, many
// times slower. The answer for a device is the same as long as the process lives.
func (d Device) ComputesBFloat16() bool {
	answer, known := computesBFloat16.Load(d)
	if !known {
		// Two may measure at once: the first answer stands.
		answer, _ = computesBFloat16.LoadOrStore(d, d.askBFloat16())
	}
	return answer.(bool)
}

var computesBFloat16 sync.Map // bool by Device

func (d Device) askBFloat16() bool {
	if d >= 0 {
		if p, err := d.Properties(); err == nil {
			return p.Major >= ampere
		}
		return d.measuresBFloat16Faster(1024)
	}
	// The instructions alone say nothing: ONEDNN_MAX_CPU_ISA keeps oneDNN from
	// them, and a process that ATEN_CPU_CAPABILITY limits to less than AVX-512 is
	// to do what a machine without it does.
	if !cpu.X86.HasAVX512BF16 && !cpu.X86.HasAMXBF16 {
		return false
	}
	switch strings.ToLower(os.Getenv("ATEN_CPU_CAPABILITY")) {
	case "avx2", "default":
		return false
	}
	return d.measuresBFloat16Faster(64)
}

// measuresBFloat16Faster times products of (rows, 384) and (384, 384) in both
// types by turns. The best of each counts, on one thread: a busy neighbour slows
// single turns, and an operation of several threads most of all. The instructions
// halve the time at least; without them it grows by a quarter or more, up to
// twentyfold, so that neither side comes near the bound.
func (d Device) measuresBFloat16Faster(rows int64) bool {
	const (
		width = 384
		turns = 7
		bound = 0.75
	)
	var best [2]time.Duration
	err := Do(func() error {
		defer OneThread()()
		NoGrad(func() {
			for turn := range turns + 1 {
				for i, dtype := range []DType{Float32, BFloat16} {
					Scoped(func() {
						x, w := Ones(dtype, d, rows, width), Ones(dtype, d, width, width)
						d.Synchronize()
						began := time.Now()
						x.Linear(w, nil)
						d.Synchronize()
						// The first turn compiles and allocates.
						if took := time.Since(began); turn == 1 || turn > 1 && took < best[i] {
							best[i] = took
						}
					})
				}
			}
		})
		return nil
	})
	return err == nil && float64(best[1]) < bound*float64(best[0])
}
