package torch

import "testing"

// What one pass saves: 24 norms with dropout, forward and backward, of a step of bert-base
// on 1,700 tokens, in a graph. By the plain operations, too.
//
//	go test -run '^$' -bench '^BenchmarkCUDA' ./pkg/torch
func BenchmarkCUDADropoutAddNorm(b *testing.B) {
	if !CUDA(0).helped() {
		b.Skip("no CUDA device, or no helper")
	}
	const tokens, hidden, norms = 1700, 768, 24
	plain := func(y, residual, weight, bias *Tensor, eps float64, _ Sequences, d Drop) *Tensor {
		return residual.Add(y.Dropout(d.P)).LayerNorm(weight, bias, eps)
	}
	for _, dtype := range []DType{BFloat16, Float32} {
		for name, norm := range map[string]func(y, residual, weight, bias *Tensor, eps float64, rows Sequences, d Drop) *Tensor{"fused": cudaDropoutAddNorm, "plain": plain} {
			b.Run(dtype.String()+"/"+name, func(b *testing.B) {
				err := Do(func() error {
					device := CUDA(0)
					defer EnterStream(device).Leave()
					offsets, keys := []int32{0}, []int32{}
					for i := range int32(34) {
						offsets, keys = append(offsets, 50*(i+1)), append(keys, i)
					}
					rows := Sequences{Offsets: FromSlice(offsets).To(device), Longest: 50, Keys: FromSlice(keys).To(device)}
					drop := Drop{P: 0.1, Seed: FromSlice([]int64{1}).To(device)}
					y, residual := Randn(dtype, device, tokens, hidden).SetRequiresGrad(true), Randn(dtype, device, tokens, hidden).SetRequiresGrad(true)
					weight, bias := Ones(dtype, device, hidden), Zeros(dtype, device, hidden)
					step := func() {
						x := residual
						for range norms {
							x = norm(y, x, weight, bias, 1e-5, rows, drop)
						}
						Gradients(x.Sum(), []*Tensor{y, residual})
					}
					Scoped(step)
					g, err := Capture(NewPool(), func() error { step(); return nil })
					if err != nil {
						return err
					}
					defer g.Free()
					for b.Loop() {
						g.Replay()
					}
					CUDA(0).Synchronize()
					b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*norms), "µs/norm")
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
