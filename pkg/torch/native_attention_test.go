package torch

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// plainAttention is attention sequence by sequence and head by head.
func plainAttention(q, k, v *Tensor, heads int64, queries, keys packing) *Tensor {
	width := q.Size(1) / heads
	columns := make([]*Tensor, heads)
	for head := range heads {
		part := func(x *Tensor, first, rows int64) *Tensor {
			return x.Narrow(1, head*width, width).Narrow(0, first, rows)
		}
		var sequences []*Tensor
		var query, key int64
		for i := range keys.lengths {
			nq, nk := int64(queries.lengths[i]), int64(keys.lengths[i])
			one := keys
			one.lengths, one.keys = queries.lengths[i:i+1], keys.keys[i:i+1]
			scores := part(q, query, nq).MatMul(part(k, key, nk).T()).MulScalar(1 / math.Sqrt(float64(width)))
			sequences = append(sequences, scores.Softmax(-1).Mul(one.scaledMask(int(nk), int(head))).MatMul(part(v, key, nk)))
			query, key = query+nq, key+nk
		}
		columns[head] = Cat(0, sequences...)
	}
	return Cat(1, columns...)
}

func TestNativeAttention(t *testing.T) {
	long := packing{lengths: []int{3, 600, 129}, keys: []int32{1, 2, 3}, seed: 9, site: 2, p: 0.2}
	first := oddLengths(0.1)
	first.lengths = make([]int, len(first.lengths))
	for i := range first.lengths {
		first.lengths[i] = 1
	}
	some := oddLengths(0.3)
	some.lengths = []int{0, 1, 3, 2, 0, 5, 21, 60, 0}
	for _, c := range []struct {
		name          string
		heads, width  int64
		queries, keys packing
	}{
		{"MiniLM's heads", 3, 32, oddLengths(0.1), oddLengths(0.1)},
		{"base's heads", 2, 64, oddLengths(0.1), oddLengths(0.1)},
		{"odd heads", 5, 13, oddLengths(0.5), oddLengths(0.5)},
		{"narrow heads", 2, 1, oddLengths(0.1), oddLengths(0.1)},
		{"wide heads", 1, 130, oddLengths(0), oddLengths(0)},
		{"no dropout", 3, 32, oddLengths(0), oddLengths(0)},
		{"nearly everything dropped", 3, 32, oddLengths(0.99), oddLengths(0.99)},
		{"long", 2, 32, long, long},
		{"a tile of more rows for fewer keys", 2, 1, packing{lengths: []int{10, 10}}, packing{lengths: []int{1040, 1024}, keys: []int32{1, 2}, p: 0.1}},
		{"the first token's query", 3, 32, first, oddLengths(0.1)},
		{"other queries than keys", 2, 20, some, oddLengths(0.3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			withKernels(t, func(t *testing.T) {
				for _, dtype := range []DType{Float32, BFloat16} {
					hidden := c.heads * c.width
					q, k, v := normal(dtype, c.queries.rows(), hidden), normal(dtype, c.keys.rows(), hidden), normal(dtype, c.keys.rows(), hidden)
					agree(t, "attention", dtype, func(in []*Tensor) *Tensor {
						return nativeAttention(in[0], in[1], in[2], c.heads, c.queries.offsets(), c.keys.offsets(), c.keys.drop())
					}, func(in []*Tensor) *Tensor {
						return plainAttention(in[0], in[1], in[2], c.heads, c.queries, c.keys)
					}, q, k, v)
					if c.queries.rows() != c.keys.rows() {
						continue
					}
					agree(t, "joined attention", dtype, func(in []*Tensor) *Tensor {
						return nativeJoinedAttention(in[0], c.heads, c.keys.drop())
					}, func(in []*Tensor) *Tensor {
						part := func(i int64) *Tensor { return in[0].Narrow(1, i*hidden, hidden) }
						return plainAttention(part(0), part(1), part(2), c.heads, c.queries, c.keys)
					}, normal(dtype, c.keys.rows(), 3*hidden))
				}
			})
		})
	}
}

// What bf16 costs, in what comes out and in the gradients: errors against fp64, relative, as
// root mean squares. A rounding to bf16 is off by half a unit, 2⁻⁹, at most and by 0.85 of that
// in the mean; a result has its own and that of one factor of the last product, which is
// 1.2 · 2⁻⁹. libtorch's attention in bf16 has these and more. (In what comes out it has the same
// two: the errors are equal to a thousandth then.)
func TestNativeAttentionRounding(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		const sequences = 16
		for _, width := range []int64{32, 64} {
			for _, length := range []int64{20, 53, 129} {
				const heads = 3
				s := packing{lengths: slices.Repeat([]int{int(length)}, sequences)}
				in, exact := make([]*Tensor, 3), make([]*Tensor, 3)
				for i := range in {
					in[i] = normal(BFloat16, s.rows(), heads*width)
					exact[i] = in[i].Detach().ToDType(Float64).SetRequiresGrad(true)
				}
				weights := Randn(Float32, CPU, s.rows(), heads*width).ToDType(BFloat16)
				results := func(in []*Tensor, attention func(in []*Tensor) *Tensor) []*Tensor {
					out := attention(in)
					return append(Gradients(out.Mul(weights.ToDType(out.DType())).Sum(), in), out.Detach())
				}
				padded := func(in []*Tensor) *Tensor { // as libtorch's takes and gives them
					part := func(i int) *Tensor { return in[i].Reshape(sequences, length, heads, width).Transpose(1, 2) }
					return scaledDotProduct(part(0), part(1), part(2), nil).Transpose(1, 2).Reshape(s.rows(), heads*width)
				}
				want, libtorch := results(exact, padded), results(in, padded)
				kernel := results(in, func(in []*Tensor) *Tensor {
					return nativeAttention(in[0], in[1], in[2], heads, s.offsets(), s.offsets(), nativeDrop{})
				})
				for i, name := range []string{"gradient of q", "gradient of k", "gradient of v", "attention"} {
					distance := func(got *Tensor) float64 {
						off := got.ToDType(Float64).Sub(want[i])
						return math.Sqrt(off.Mul(off).Sum().Item() / want[i].Mul(want[i]).Sum().Item())
					}
					ours, theirs := distance(kernel[i]), distance(libtorch[i])
					if !(ours <= min(1.01*theirs, 1.3/512)) {
						t.Errorf("width %d, %d keys, %s: error %.4g, libtorch's %.4g", width, length, name, ours, theirs)
					}
				}
			}
		}
	})
}

// Views of any row stride, also with columns that are apart, and gradients of some of
// the three alone.
func TestNativeAttentionOfViews(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		s := oddLengths(0.1)
		const heads, hidden = 2, 24
		for _, dtype := range []DType{Float32, BFloat16} {
			joined := normal(dtype, s.rows(), 100)
			apart := normal(dtype, hidden, s.rows())
			frozen := Randn(Float32, CPU, s.rows(), hidden).ToDType(dtype)
			agree(t, "views", dtype, func(in []*Tensor) *Tensor {
				return nativeAttention(in[0].Narrow(1, 3, hidden), in[1].T(), in[2], heads, s.offsets(), s.offsets(), s.drop())
			}, func(in []*Tensor) *Tensor {
				return plainAttention(in[0].Narrow(1, 3, hidden), in[1].T(), in[2], heads, s, s)
			}, joined, apart, frozen)
		}
	})
}

// Scores far apart neither overflow nor become NaN. Queries and keys are integers, so
// that the scores, up to a thousand, are exact; each key stands there several times, so
// that some probabilities are neither 0 nor 1.
func TestNativeAttentionOfLargeScores(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		s := packing{lengths: []int{37}, keys: []int32{1}}
		integers := func(distinct int) *Tensor {
			data := make([]float32, 37*16)
			for i := range data {
				row, column := i/16%distinct, i%16
				data[i] = float32((row*31+column*17+row*column*7)%41 - 20)
			}
			return FromSlice(data, 37, 16).SetRequiresGrad(true)
		}
		agree(t, "attention", Float32, func(in []*Tensor) *Tensor {
			return nativeAttention(in[0], in[1], in[2], 1, s.offsets(), s.offsets(), nativeDrop{})
		}, func(in []*Tensor) *Tensor {
			return plainAttention(in[0], in[1], in[2], 1, s, s)
		}, integers(37), integers(5), normal(Float32, 37, 16))
	})
}

// A small probability is right to some units in its last place, however far its score is
// from the greatest: a sequence of one query, x, and the keys 1 and 0 of which the second
// has the value 1, so that the output is e^-x / (1 + e^-x). The set without a fused product
// rounds x log₂ e, and is right to as many more units as that is large.
func TestNativeAttentionOfSmallProbabilities(t *testing.T) {
	withKernels(t, func(t *testing.T) {
		const unit = 1.0 / (1 << 23)
		for x := float32(0.25); x < 80; x *= 1.37 {
			drop := nativeDrop{}
			out := nativeAttention(FromSlice([]float32{x}, 1, 1), FromSlice([]float32{1, 0}, 2, 1), FromSlice([]float32{0, 1}, 2, 1), 1,
				packing{lengths: []int{1}}.offsets(), packing{lengths: []int{2}}.offsets(), drop)
			small := math.Exp(-float64(x))
			want, got := small/(1+small), float64(ToSlice[float32](out)[0])
			allowed := 4 * unit
			if strings.HasSuffix(t.Name(), "/generic") {
				allowed += 1.5 * float64(x) * unit
			}
			if off := math.Abs(got/want - 1); off > allowed {
				t.Errorf("e^-%g: %g, want %g: %.1f units off", x, got, want, off/unit)
			}
		}
	})
}
