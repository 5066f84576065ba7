package dmrg_test

import (
	"slices"
	"testing"
	"time"

	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/torch"
	"github.com/metatt/metatt/pkg/tt"
)

// BenchmarkSweep sweeps the tensor train of bert-base with all six matrices, D 768,
// L 12, M 12, from rank 64 to 48. 20 ms is the most a sweep may take on 2 cores;
// the median tells, as another process on the machine stops both threads.
func BenchmarkSweep(b *testing.B) {
	for _, mode := range []dmrg.Mode{dmrg.Canonical, dmrg.Paper} {
		for _, balance := range []dmrg.Balance{dmrg.None, dmrg.Sqrt} {
			b.Run(string(mode)+" "+string(balance), func(b *testing.B) {
				if err := torch.Do(func() error {
					r := int64(64)
					x, err := tt.New(
						torch.Randn(torch.Float32, torch.CPU, 1, 768, r), torch.Randn(torch.Float32, torch.CPU, r, 12, r),
						torch.Randn(torch.Float32, torch.CPU, r, 12, r), torch.Randn(torch.Float32, torch.CPU, r, 768, 1),
					)
					if err != nil {
						return err
					}
					var seconds []float64
					for b.Loop() {
						began := time.Now()
						torch.Scoped(func() {
							_, _, err = dmrg.Sweep(x, dmrg.Options{Mode: mode, Truncation: tt.Truncation{MaxRank: 48}, Balance: balance})
						})
						if err != nil {
							return err
						}
						seconds = append(seconds, time.Since(began).Seconds())
					}
					slices.Sort(seconds)
					b.ReportMetric(1e3*seconds[0], "ms-fastest")
					b.ReportMetric(1e3*seconds[len(seconds)/2], "ms-median")
					return nil
				}); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
