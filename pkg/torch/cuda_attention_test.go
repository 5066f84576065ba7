package torch

import (
	"math"
	"slices"
	"testing"
)

// referenceAttention is attention of fp32 on the CPU, a sequence at a time.
func referenceAttention(q, k, v *Tensor, heads int64, queries, keys []int32) *Tensor {
	split := func(t *Tensor, from, to int32) *Tensor {
		return t.Narrow(0, int64(from), int64(to-from)).Reshape(int64(to-from), heads, -1).Transpose(0, 1)
	}
	var parts []*Tensor
	for i := range len(queries) - 1 {
		n := int64(queries[i+1] - queries[i])
		if n == 0 {
			continue
		}
		qi, ki, vi := split(q, queries[i], queries[i+1]), split(k, keys[i], keys[i+1]), split(v, keys[i], keys[i+1])
		scores := qi.MatMul(ki.Transpose(-2, -1)).MulScalar(1 / math.Sqrt(float64(qi.Size(-1))))
		parts = append(parts, scores.Softmax(-1).MatMul(vi).Transpose(0, 1).Reshape(n, -1))
	}
	return Cat(0, parts...)
}

// attentionCase is queries and keys of sequences of odd lengths.
type attentionCase struct {
	name          string
	queries, keys []int32
	longest       int64 // bound of the keys
}

var attentionCases = []attentionCase{
	{"whole", []int32{0, 1, 8, 21, 150, 155}, []int32{0, 1, 8, 21, 150, 155}, 129},
	{"empty sequences", []int32{0, 0, 8, 21, 21, 155, 155}, []int32{0, 0, 8, 21, 21, 155, 155}, 134},
	{"a bound beyond", []int32{0, 5, 9}, []int32{0, 5, 9}, 512},
	{"one query each", []int32{0, 1, 2, 3, 4}, []int32{0, 1, 70, 71, 140}, 69},
	{"no query of the last", []int32{0, 1, 2, 3, 3}, []int32{0, 1, 70, 71, 140}, 69},
}

func sequences(d Device, offsets []int32, longest int64) Sequences {
	return Sequences{Offsets: FromSlice(offsets).To(d), Longest: longest}
}

func lengths(offsets []int32) (rows, longest int64) {
	for i := range len(offsets) - 1 {
		longest = max(longest, int64(offsets[i+1]-offsets[i]))
	}
	return int64(offsets[len(offsets)-1]), longest
}

func TestCUDAAttention(t *testing.T) {
	gpu(t, func(d Device) {
		const heads, hidden = 3, 96
		for _, dtype := range []DType{Float32, BFloat16} {
			if !cudaAttends(d, dtype, hidden, heads) {
				t.Logf("no packed attention of %s here", dtype)
				continue
			}
			for _, c := range attentionCases {
				rows, _ := lengths(c.queries)
				tokens, _ := lengths(c.keys)
				_, most := lengths(c.queries)
				q, kv, g := random(1, rows, hidden), random(2, tokens, 3*hidden), random(3, rows, hidden)
				run := func(q, kv *Tensor, attend func(q, k, v *Tensor) *Tensor, g *Tensor) (out *Tensor, gradients []*Tensor) {
					q.SetRequiresGrad(true)
					kv.SetRequiresGrad(true)
					// Keys and values are views whose rows stand apart.
					out = attend(q, kv.Narrow(1, hidden, hidden), kv.Narrow(1, 2*hidden, hidden))
					return out, Gradients(out.Mul(g).ToDType(Float32).Sum(), []*Tensor{q, kv})
				}
				want, wantGradients := run(q, kv, func(q, k, v *Tensor) *Tensor {
					return referenceAttention(q, k, v, heads, c.queries, c.keys)
				}, g)
				on := func(t *Tensor) *Tensor { return t.Detach().To(d).ToDType(dtype) }
				have, gradients := run(on(q), on(kv), func(q, k, v *Tensor) *Tensor {
					return cudaAttention(q, k, v, heads, sequences(d, c.queries, most), sequences(d, c.keys, c.longest), Drop{})
				}, on(g))
				name := c.name + " " + dtype.String()
				near(t, name, have, want, cudaTolerance(dtype))
				near(t, name+": gradient of q", gradients[0], wantGradients[0], cudaTolerance(dtype))
				near(t, name+": gradient of k and v", gradients[1], wantGradients[1], cudaTolerance(dtype))
				if dtype == Float32 { // with dropout it goes another way
					have, gradients := run(on(q), on(kv), func(q, k, v *Tensor) *Tensor {
						const never = 1e-12
						return cudaAttention(q, k, v, heads, sequences(d, c.queries, most), sequences(d, c.keys, c.longest), Drop{P: never})
					}, on(g))
					near(t, name+" padded", have, want, cudaTolerance(dtype))
					near(t, name+" padded: gradient of q", gradients[0], wantGradients[0], cudaTolerance(dtype))
					near(t, name+" padded: gradient of k and v", gradients[1], wantGradients[1], cudaTolerance(dtype))
				}
			}
		}
	})
}

func TestCUDAJoinedAttention(t *testing.T) {
	gpu(t, func(d Device) {
		const heads, hidden = 2, 128
		for _, dtype := range []DType{Float32, BFloat16} {
			if !cudaAttends(d, dtype, hidden, heads) {
				continue
			}
			for _, c := range attentionCases[:3] {
				tokens, _ := lengths(c.keys)
				qkv, g := random(4, tokens, 3*hidden), random(5, tokens, hidden)
				qkv.SetRequiresGrad(true)
				part := func(i int64) *Tensor { return qkv.Narrow(1, i*hidden, hidden) }
				want := referenceAttention(part(0), part(1), part(2), heads, c.keys, c.keys)
				wantGradient := Gradients(want.Mul(g).Sum(), []*Tensor{qkv})[0]

				on := qkv.Detach().To(d).ToDType(dtype).SetRequiresGrad(true)
				have := cudaJoinedAttention(on, heads, sequences(d, c.keys, c.longest), Drop{})
				gradient := Gradients(have.Mul(g.To(d).ToDType(dtype)).ToDType(Float32).Sum(), []*Tensor{on})[0]
				name := c.name + " " + dtype.String()
				near(t, name, have, want, cudaTolerance(dtype))
				near(t, name+": gradient", gradient, wantGradient, cudaTolerance(dtype))
			}
		}
	})
}

// The kernels' dropout follows the generator, keeps the mean, and drops in backward what
// it drops in forward, eagerly and in a graph.
func TestCUDAAttentionDropout(t *testing.T) {
	gpu(t, func(d Device) {
		const heads, hidden, tokens, p = 4, 256, 256, 0.1
		for _, dtype := range []DType{Float32, BFloat16} {
			if !cudaAttends(d, dtype, hidden, heads) {
				continue
			}
			rows := sequences(d, []int32{0, 100, tokens}, tokens)
			// Keys of zero weigh all values alike; values of one make the result the part that
			// is kept.
			qkv := Cat(1, Zeros(dtype, d, tokens, 2*hidden), Ones(dtype, d, tokens, hidden)).SetRequiresGrad(true)
			step := func() (*Tensor, *Tensor) {
				out := cudaJoinedAttention(qkv, heads, rows, Drop{P: p})
				return out, Gradients(out.ToDType(Float32).Sum(), []*Tensor{qkv})[0]
			}
			Seed(1)
			out, _ := step()
			mean := out.ToDType(Float32).Mean().Item()
			if math.Abs(mean-1) > 5e-3 || out.ToDType(Float32).Min().Item() > 0.99 {
				t.Errorf("%s: the mean of what is kept is %v", dtype, mean)
			}
			// For one mask the result is linear in the values: Σ g·out = Σ v·∂v. Two masks
			// would be about 12 apart.
			values, g := random(6, tokens, hidden), random(7, tokens, hidden)
			leaf := Cat(1, Zeros(dtype, d, tokens, 2*hidden), values.To(d).ToDType(dtype)).SetRequiresGrad(true)
			loss := cudaJoinedAttention(leaf, heads, rows, Drop{P: p}).Mul(g.To(d).ToDType(dtype)).ToDType(Float32).Sum()
			back := Gradients(loss, []*Tensor{leaf})[0].Narrow(1, 2*hidden, hidden).ToDType(Float32).Mul(values.To(d)).Sum()
			if have, want := back.Item(), loss.Item(); math.Abs(have-want) > 1.5 {
				t.Errorf("%s: Σ v·∂v is %v, Σ g·out %v: backward drops other weights", dtype, have, want)
			}
			Seed(1)
			again, _ := step()
			near(t, "the same seed", again, out, 0)

			var replayed *Tensor
			graph, err := Capture(NewPool(), func() error {
				o, _ := step()
				replayed = o.Keep()
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			Seed(1)
			graph.Replay()
			near(t, "a replay with the same seed", replayed, out, 0)
			graph.Replay()
			if slices.Equal(ToSlice[float32](replayed.ToDType(Float32).To(CPU)), ToSlice[float32](out.ToDType(Float32).To(CPU))) {
				t.Errorf("%s: two replays drop the same", dtype)
			}
			replayed.Free()
			graph.Free()
		}
	})
}

func TestCUDAAttentionRefuses(t *testing.T) {
	gpu(t, func(d Device) {
		rows := sequences(d, []int32{0, 4}, 4)
		x := func(dtype DType, n int64) *Tensor { return Zeros(dtype, d, 4, n) }
		for name, f := range map[string]func(){
			"fp64":              func() { cudaAttention(x(Float64, 64), x(Float64, 64), x(Float64, 64), 2, rows, rows, Drop{}) },
			"a head of 12":      func() { cudaAttention(x(Float32, 24), x(Float32, 24), x(Float32, 24), 2, rows, rows, Drop{}) },
			"widths":            func() { cudaAttention(x(Float32, 64), x(Float32, 32), x(Float32, 32), 2, rows, rows, Drop{}) },
			"dtypes":            func() { cudaAttention(x(Float32, 64), x(BFloat16, 64), x(BFloat16, 64), 2, rows, rows, Drop{}) },
			"offsets elsewhere": func() { cudaJoinedAttention(x(Float32, 192), 2, sequences(CPU, []int32{0, 4}, 4), Drop{}) },
			"numbers of sequences": func() {
				cudaAttention(x(Float32, 64), x(Float32, 64), x(Float32, 64), 2, rows, sequences(d, []int32{0, 2, 4}, 4), Drop{})
			},
			"a column stride": func() {
				cudaAttention(Zeros(Float32, d, 64, 4).T(), x(Float32, 64), x(Float32, 64), 2, rows, rows, Drop{})
			},
			"no thirds": func() { cudaJoinedAttention(x(Float32, 64), 2, rows, Drop{}) },
		} {
			if err := Do(func() error { f(); return nil }); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
		if cudaAttends(d, Float32, 24, 2) || cudaAttends(d, Float64, 64, 2) || cudaAttends(CPU, Float32, 64, 2) || cudaAttends(d, Float32, 64, 0) {
			t.Error("what there is no kernel for is said to have one")
		}
	})
}

// Flash attention decides in 256ths, and not at all where fewer than half of one is asked for.
func TestMetIn256ths(t *testing.T) {
	for p, want := range map[float64]float64{0: 0, 0.1: 26. / 256, 0.0015: 0, 0.5: 0.5} {
		if got := metIn256ths(p); got != want {
			t.Errorf("%g is met as %g, want %g", p, got, want)
		}
		if got := AttentionDrop(CPU, BFloat16, p); got != p {
			t.Errorf("on the CPU %g is met as %g", p, got)
		}
	}
}
