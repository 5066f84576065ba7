package torch

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/sugarme/gotch/libtch"
)

// BenchmarkNative compares the kernels with what plain operations take for the same, in
// turns: forward alone, and both ways. The shape is that of a batch of MRPC's in MiniLM:
// 32 sequences of about 53 tokens, 12 heads of 32, hidden 384, FFN 1536.
func BenchmarkNative(b *testing.B) {
	s := packing{p: 0.1, seed: 1}
	for i := range 32 {
		s.lengths, s.keys = append(s.lengths, 30+i*37%47), append(s.keys, int32(i))
	}
	const heads, hidden, ffn, eps = 12, 384, 1536, 1e-12
	for _, dtype := range []DType{Float32, BFloat16} {
		for _, c := range []struct {
			name          string
			shape         []int64
			kernel, plain func(x *Tensor) *Tensor
		}{
			{"dropout", []int64{s.rows(), hidden},
				func(x *Tensor) *Tensor { return nativeDropout(x, s.drop()) },
				func(x *Tensor) *Tensor { return x.Dropout(s.p) }},
			{"dropout+add+norm", []int64{s.rows(), hidden},
				func(x *Tensor) *Tensor {
					return nativeDropoutAddNorm(x, x, Ones(dtype, CPU, hidden), Zeros(dtype, CPU, hidden), eps, s.drop())
				},
				func(x *Tensor) *Tensor {
					return x.Add(x.Dropout(s.p)).LayerNorm(Ones(dtype, CPU, hidden), Zeros(dtype, CPU, hidden), eps)
				}},
			{"gelu", []int64{s.rows(), ffn},
				func(x *Tensor) *Tensor { return nativeGELU(x, false) },
				func(x *Tensor) *Tensor {
					libtch.AtgGelu(&slots[0], x.handle("gelu"), "none")
					return result("gelu", x)
				}},
			{"attention", []int64{s.rows(), 3 * hidden},
				func(x *Tensor) *Tensor { return nativeJoinedAttention(x, heads, s.drop()) },
				s.paddedAttention(heads, hidden)},
		} {
			for _, way := range []string{"forward", "both ways"} {
				b.Run(fmt.Sprintf("%s/%s/%s", c.name, dtype, way), func(b *testing.B) {
					if err := Do(func() error {
						x := Randn(Float32, CPU, c.shape...).ToDType(dtype).SetRequiresGrad(way == "both ways")
						inTurns(b, func(i int) {
							y := []func(*Tensor) *Tensor{c.kernel, c.plain}[i](x)
							if way == "both ways" {
								Gradients(y.Mul(y.Detach()).Sum(), []*Tensor{x})
							}
						})
						return nil
					}); err != nil {
						b.Fatal(err)
					}
				})
			}
		}
	}
}

// inTurns runs both, by turns, reports the median of each and their ratio, and returns
// the medians, in ms.
func inTurns(b *testing.B, run func(i int)) [2]float64 {
	var took [2][]float64
	for b.Loop() {
		for i := range took {
			began := time.Now()
			Scoped(func() { run(i) })
			took[i] = append(took[i], float64(time.Since(began).Microseconds())/1000)
		}
	}
	for i := range took {
		slices.Sort(took[i])
	}
	kernel, plain := took[0][len(took[0])/2], took[1][len(took[1])/2]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(kernel, "ms-kernel")
	b.ReportMetric(plain, "ms-plain")
	b.ReportMetric(plain/kernel, "times-faster")
	return [2]float64{kernel, plain}
}

// paddedAttention is attention of (tokens, 3·hidden) as plain operations compute it: over
// sequences that are padded to the longest.
func (s packing) paddedAttention(heads, hidden int64) func(x *Tensor) *Tensor {
	longest := slices.Max(s.lengths)
	var gather, scatter []int64
	var mask []float32
	first := 0
	for i, n := range s.lengths {
		for j := range longest {
			if j < n {
				gather, scatter, mask = append(gather, int64(first+j)), append(scatter, int64(i*longest+j)), append(mask, 0)
			} else {
				gather, mask = append(gather, 0), append(mask, float32(math.Inf(-1)))
			}
		}
		first += n
	}
	batch := int64(len(s.lengths))
	return func(x *Tensor) *Tensor {
		part := func(i int64) *Tensor {
			return x.Narrow(1, i*hidden, hidden).IndexSelect(0, FromSlice(gather)).Reshape(batch, int64(longest), heads, -1).Transpose(1, 2)
		}
		scores := part(0).MulScalar(1 / math.Sqrt(float64(hidden/heads))).MatMul(part(1).Transpose(-2, -1))
		scores = scores.Add(FromSlice(mask, batch, 1, 1, int64(longest)).ToDType(x.DType()))
		context := scores.Softmax(-1).Dropout(s.p).MatMul(part(2))
		return context.Transpose(1, 2).Reshape(batch*int64(longest), hidden).IndexSelect(0, FromSlice(scatter))
	}
}
