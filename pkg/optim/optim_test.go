package optim_test

import (
	"math"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
)

// reference is AdamW in float64, one number, from the equations.
type reference struct{ p, m, v float64 }

func (r *reference) step(t int, lr, g float64, c optim.AdamWConfig) {
	r.p *= 1 - lr*c.WeightDecay
	r.m = c.Beta1*r.m + (1-c.Beta1)*g
	r.v = c.Beta2*r.v + (1-c.Beta2)*g*g
	m := r.m / (1 - math.Pow(c.Beta1, float64(t)))
	v := r.v / (1 - math.Pow(c.Beta2, float64(t)))
	r.p -= lr * m / (math.Sqrt(v) + c.Eps)
}

// one is a parameter that is its own leaf.
func one(name string, t *torch.Tensor) optim.Parameter {
	return optim.Parameter{Name: name, Value: t, Leaf: t, Scale: 1}
}

// with sets gradients as a backward pass would, one for each parameter; nil: 0.
func with(o *optim.AdamW, gradients ...[]float32) {
	o.ZeroGradients()
	for i, g := range gradients {
		if g != nil {
			torch.NoGrad(func() {
				view := o.Gradient(i)
				view.CopyFrom(torch.FromSlice(g, view.Shape()...))
			})
		}
	}
}

func TestAdamWFollowsItsEquations(t *testing.T) {
	config := optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1}
	const n = 300_007 // more than one chunk
	at := []int{0, 1, 2, 131_071, 131_072, 262_144, n - 1}
	refs := make([]reference, len(at))
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(math.Cos(float64(i)))
	}
	for k, i := range at {
		refs[k].p = float64(values[i])
	}
	if err := torch.Do(func() error {
		p := torch.FromSlice(values)
		o := optim.NewAdamW([]optim.Parameter{one("p", p)}, config, nil)
		defer func() { o.Free() }()
		for step := 1; step <= 25; step++ {
			lr := 0.05 / float64(step)
			g := make([]float32, n)
			for i := range g {
				g[i] = float32(math.Sin(float64(3*step+i)) * math.Pow(10, float64(-i%5)))
			}
			for k, i := range at {
				refs[k].step(step, lr, float64(g[i]), config)
			}
			with(o, g)
			outcome := torch.ToSlice[float32](o.Step(lr, nil, nil))
			if want := norm(g); outcome[1] != 1 || math.Abs(float64(outcome[0])-want) > 1e-5*want {
				t.Errorf("step %d: norm and health %v, want %v and 1", step, outcome, want)
			}
			if step == 12 { // a restored optimizer goes on with the same numbers
				m, v := o.Moments(0)
				other := optim.NewAdamW([]optim.Parameter{one("p", p)}, config, nil)
				if err := other.Restore(o.Progress(), []*torch.Tensor{m}, []*torch.Tensor{v}); err != nil {
					return err
				}
				o.Free()
				o = other
			}
		}
		got := torch.ToSlice[float32](p.Detach())
		for k, i := range at {
			if want := refs[k].p; math.Abs(float64(got[i])-want) > 1e-6*math.Abs(want)+1e-6 {
				t.Errorf("element %d: %v, want %v", i, got[i], want)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func norm(g []float32) float64 {
	var sum float64
	for _, x := range g {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

func TestRestoreChecksShapes(t *testing.T) {
	if err := torch.Do(func() error {
		o := optim.NewAdamW([]optim.Parameter{one("p", torch.Zeros(torch.Float32, torch.CPU, 2, 3))}, optim.AdamWConfig{}, nil)
		defer o.Free()
		wrong := []*torch.Tensor{torch.Zeros(torch.Float32, torch.CPU, 3, 2)}
		if o.Restore([]optim.Progress{{Steps: 1}}, wrong, wrong) == nil {
			t.Error("moments of another shape were taken")
		}
		if o.Restore(nil, nil, nil) == nil {
			t.Error("missing moments were taken")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := torch.Do(func() error { optim.NewAdamW(nil, optim.AdamWConfig{}, nil); return nil }); err == nil {
		t.Error("an optimizer of nothing was made")
	}
}

// All gradients are scaled by one factor, whatever the dtype of their leaves.
func TestClipping(t *testing.T) {
	for _, c := range []struct{ limit, clipped float64 }{{0, 4}, {10, 4}, {1, 0.8}} {
		if err := torch.Do(func() error {
			master := torch.FromSlice([]float32{1}, 1, 1)
			leaf := master.ToDType(torch.BFloat16)
			o := optim.NewAdamW([]optim.Parameter{one("a", torch.FromSlice([]float32{0, 0})), {Name: "b", Value: master, Leaf: leaf, Scale: 1}},
				optim.AdamWConfig{Beta1: 0, Beta2: 0.999, Eps: 1e-8, ClipNorm: c.limit}, nil)
			defer o.Free()
			with(o, []float32{3, 0}, []float32{4})
			outcome := torch.ToSlice[float32](o.Step(0.1, nil, nil))
			m, _ := o.Moments(1)
			if outcome[0] != 5 || math.Abs(m.Item()-c.clipped) > 1e-6 {
				t.Errorf("limit %v: norm %v, clipped %v, want 5 and %v", c.limit, outcome[0], m.Item(), c.clipped)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSchedule(t *testing.T) {
	s, err := optim.NewSchedule("linear", 2, 0.25, 10) // warmup floors to 2
	if err != nil {
		t.Fatal(err)
	}
	for step, want := range map[int]float64{0: 0, 1: 1, 2: 2, 3: 1.75, 9: 0.25} {
		if got := s.LR(step); math.Abs(got-want) > 1e-15 {
			t.Errorf("linear, step %d: %v, want %v", step, got, want)
		}
	}
	for _, whole := range []float64{0, 1} {
		s, _ := optim.NewSchedule("linear", 1, whole, 3)
		for step := range 3 {
			if lr := s.LR(step); math.IsNaN(lr) || lr < 0 || lr > 1 {
				t.Errorf("warmup %v, step %d: %v", whole, step, lr)
			}
		}
	}
	if c, _ := optim.NewSchedule("constant", 2, 0.5, 4); c.LR(3) != 2 || c.LR(1) != 1 {
		t.Errorf("constant: %v, %v", c.LR(3), c.LR(1))
	}
	// get_cosine_schedule_with_warmup of transformers, in its own terms.
	s, err = optim.NewSchedule("cosine", 3, 0.25, 11)
	if err != nil {
		t.Fatal(err)
	}
	for step := range 11 {
		want := 3 * float64(step) / 2
		if step >= 2 {
			progress := float64(step-2) / float64(11-2)
			want = 3 * max(0, 0.5*(1+math.Cos(math.Pi*0.5*2*progress)))
		}
		if got := s.LR(step); math.Abs(got-want) > 1e-15 {
			t.Errorf("cosine, step %d: %v, want %v", step, got, want)
		}
	}
	if _, err := optim.NewSchedule("cosin", 1, 0, 1); err == nil {
		t.Error("an unknown schedule was taken")
	}
}

// What is not trained stays as it is, moments and all; what is replaced begins anew
// or goes on with the moments that it is given; a scale and a warm-up are factors of
// the learning rate; what is undecayed does not shrink.
func TestParametersOfTheirOwn(t *testing.T) {
	if err := torch.Do(func() error {
		config := optim.AdamWConfig{Beta1: 0.9, Beta2: 0.99, Eps: 1e-12, WeightDecay: 0.1}
		a, b, bias := torch.FromSlice([]float32{1, 2}), torch.FromSlice([]float32{3, 4, 5}), torch.FromSlice([]float32{6})
		undecayed := one("bias", bias)
		undecayed.Undecayed = true
		parameters := []optim.Parameter{one("a", a), undecayed, one("b", b)}
		o := optim.NewAdamW(parameters, config, nil)
		defer o.Free()
		only := func(trained int) func(int) bool { return func(i int) bool { return i != trained } }
		near := func(what string, got *torch.Tensor, want ...float64) {
			t.Helper()
			for i, x := range torch.ToSlice[float32](got.Detach()) {
				if math.Abs(float64(x)-want[i]) > 1e-5 {
					t.Errorf("%s: %v, want %v", what, torch.ToSlice[float32](got.Detach()), want)
					return
				}
			}
		}
		with(o, []float32{1, -1})
		o.Step(0.5, nil, only(0))
		near("without an update", b, 3, 4, 5)
		if m, v := o.Moments(2); m.Norm().Item() != 0 || v.Norm().Item() != 0 || o.Progress()[2].Steps != 0 {
			t.Error("its moments moved")
		}
		// Adam's first step is lr · sign(g), here a fifth of it, after decay by a fifth.
		o.SetScale(2, 0.2)
		with(o, nil, []float32{-7}, []float32{2, 2, -2})
		o.Step(0.5, nil, func(i int) bool { return i == 0 })
		near("scaled", b, 3*0.99-0.1, 4*0.99-0.1, 5*0.99+0.1)
		near("undecayed", bias, 6.5)
		// Anew, warmed up over 4 steps: the first has a quarter of the rate.
		m0, v0 := o.Moments(2)
		m0, v0 = m0.Clone(), v0.Clone()
		c := torch.FromSlice([]float32{7, 7}, 2, 1)
		parameters[0] = one("a", c)
		o.Replace(parameters, map[int]optim.Change{0: {Rewarm: 4}})
		with(o, []float32{-3, 3})
		o.Step(0.5, nil, only(0))
		near("anew", c, 7*(1-0.1*0.125)+0.125, 7*(1-0.1*0.125)-0.125)
		if p := o.Progress()[0]; p != (optim.Progress{Steps: 1, Rewarm: 4}) {
			t.Errorf("anew at %+v", p)
		}
		if m, v := o.Moments(2); !m.Equal(m0) || !v.Equal(v0) {
			t.Error("the moments of what was not replaced are others")
		}
		// Going on: the moments are copies, the updates counted on; b keeps its scale.
		m, v := o.Moments(0)
		parameters[0] = one("a", torch.FromSlice([]float32{7, 7, 7}))
		longer := func(t *torch.Tensor) *torch.Tensor { return torch.Cat(0, t.Reshape(2), torch.FromSlice([]float32{9})) }
		want := longer(m)
		o.Replace(parameters, map[int]optim.Change{0: {First: want, Second: longer(v)}})
		if got, _ := o.Moments(0); o.Progress()[0].Steps != 1 || !got.Equal(want) {
			t.Errorf("going on at %+v with %v", o.Progress()[0], torch.ToSlice[float32](got))
		}
		before := torch.ToSlice[float32](b.Detach())
		with(o, nil, nil, []float32{1, 1, 1})
		o.Step(1e-3, nil, only(2))
		if moved := math.Abs(float64(torch.ToSlice[float32](b.Detach())[0]-before[0])) / 1e-3; moved > 0.4 {
			t.Errorf("the scale was lost: %v of the rate", moved)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Nor is an update made by a loss that is none.
func TestNoUpdateByALossThatIsNone(t *testing.T) {
	for _, loss := range []float32{float32(math.Inf(-1)), float32(math.NaN()), 3} {
		if err := torch.Do(func() error {
			a := torch.FromSlice([]float32{1, 2, 3})
			o := optim.NewAdamW([]optim.Parameter{one("a", a)}, optim.AdamWConfig{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8}, nil)
			defer o.Free()
			with(o, []float32{1, 1, 1})
			made := torch.ToSlice[float32](o.Step(0.1, torch.FromSlice([]float32{loss}).Reshape(), nil))[1] == 1
			if moved := torch.ToSlice[float32](a.Detach())[0] != 1; made != (loss == 3) || moved != made {
				t.Errorf("a loss of %v: made %v, moved %v", loss, made, moved)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// After a norm that is not finite, what was before is what remains: to the bit, of
// values and moments, in all later steps.
func TestNoUpdateByWhatIsNotFinite(t *testing.T) {
	for _, bad := range []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 2e19} {
		for _, limit := range []float64{0, 1} {
			if err := torch.Do(func() error {
				a, b := torch.FromSlice([]float32{1, 2, 3}), torch.FromSlice([]float32{4})
				o := optim.NewAdamW([]optim.Parameter{one("a", a), one("b", b)},
					optim.AdamWConfig{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, ClipNorm: limit}, nil)
				defer o.Free()
				state := func() (all []float32) {
					m0, v0 := o.Moments(0)
					m1, v1 := o.Moments(1)
					for _, t := range []*torch.Tensor{a, b, m0, v0, m1, v1} {
						all = append(all, torch.ToSlice[float32](t.Detach())...)
					}
					return all
				}
				with(o, []float32{1, -2, 3}, []float32{5})
				o.Step(0.1, nil, nil)
				before := state()
				for step, gradient := range [][]float32{{1, bad, 0}, {1, 1, 1}} {
					with(o, gradient, []float32{1})
					if outcome := torch.ToSlice[float32](o.Step(0.1, nil, nil)); outcome[1] != 0 {
						t.Errorf("%v, step %d: the update was made", bad, step)
					}
					if after := state(); !slices.Equal(after, before) {
						t.Errorf("%v, step %d: %v, want %v", bad, step, after, before)
					}
				}
				if name := o.NotFinite(); name != "" {
					t.Errorf("%s is not finite", name)
				}
				torch.NoGrad(func() { b.CopyFrom(torch.FromSlice([]float32{bad})) })
				if name := o.NotFinite(); name != "b" {
					t.Errorf("%q is not finite, want b", name)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// An update after which a value would not be finite is not made: neither of values nor
// of moments, whichever parameter it is of.
func TestNoUpdateBeyondWhatIsFinite(t *testing.T) {
	for _, c := range []struct {
		rate, eps, decay, moment float64
		want                     string
	}{
		{1e20, 1e-8, 0, 0, "b"}, {1e39, 1e-8, 0, 0, "b"}, {1e300, 1e-8, 0, 0, "b"}, {math.Inf(1), 1e-8, 0, 0, "a"}, {math.NaN(), 1e-8, 0, 0, "a"},
		{1, 1e-8, 1e30, 0, "b"}, {1e-3, 1e-60, 0, 0, "c"}, {1e-3, 1e-8, 0, 1e22, "b"}, {1e-3, 1e-8, 0.1, 0, ""},
	} {
		if err := torch.Do(func() error {
			a, b, zero := torch.FromSlice([]float32{1, 2}), torch.FromSlice([]float32{3}), torch.FromSlice([]float32{7})
			o := optim.NewAdamW([]optim.Parameter{one("a", a), one("b", b), one("c", zero)},
				optim.AdamWConfig{Beta1: 0.9, Beta2: 0.99, Eps: c.eps, WeightDecay: c.decay, ClipNorm: 100}, nil)
			defer o.Free()
			o.SetScale(0, 1e-300) // of b alone the update is too large
			o.SetScale(2, 1e-300)
			m, _ := o.Moments(1)
			torch.NoGrad(func() { m.AddScalarInPlace(c.moment) })
			before := torch.ToSlice[float32](m)
			with(o, []float32{1, 1}, []float32{1}, nil)
			made := torch.ToSlice[float32](o.Step(c.rate, nil, nil))[1] == 1
			if made != (c.want == "") {
				t.Fatalf("%+v: the update was made: %v", c, made)
			}
			if made {
				return nil
			}
			if name := o.Overflown(c.rate, nil); name != c.want {
				t.Errorf("%+v: %q would not be finite", c, name)
			}
			if !a.Equal(torch.FromSlice([]float32{1, 2})) || b.Item() != 3 || zero.Item() != 7 || !slices.Equal(torch.ToSlice[float32](m), before) {
				t.Errorf("%+v: values went to %v, %v and %v, a moment to %v", c, torch.ToSlice[float32](a), b.Item(), zero.Item(), m.Item())
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// What an update would have taken too far is looked for with the gradients clipped as in
// the update: by the norm of all of them.
func TestOverflownClipsAsTheUpdate(t *testing.T) {
	if err := torch.Do(func() error {
		zero := func() *torch.Tensor { return torch.FromSlice([]float32{0}) }
		o := optim.NewAdamW([]optim.Parameter{one("a", zero()), one("b", zero()), one("c", zero())},
			optim.AdamWConfig{Beta1: 0.9, Beta2: 0.99, Eps: 1, ClipNorm: 1}, nil)
		defer o.Free()
		o.SetScale(0, 1e-30)
		o.SetScale(2, 1e10) // b's is clipped to 1e-6 and moves by 1e16
		gradients := [][]float32{{1e6}, {1}, {1}}
		with(o, gradients...)
		o.Step(1e22, nil, nil)
		with(o, gradients...)
		if name := o.Overflown(1e22, nil); name != "c" {
			t.Errorf("%q would not be finite, want c", name)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// A backward pass adds to what the optimizer reads, also for bf16 leaves with fp32
// masters; a parameter of no elements is no obstacle.
func TestGradientsOfBackwardPasses(t *testing.T) {
	if err := torch.Do(func() error {
		a, master := torch.FromSlice([]float32{1, 2}), torch.FromSlice([]float32{3, 4, 5})
		leaf := master.ToDType(torch.BFloat16)
		empty := torch.Zeros(torch.Float32, torch.CPU, 0, 3)
		o := optim.NewAdamW([]optim.Parameter{one("a", a), {Name: "m", Value: master, Leaf: leaf, Scale: 1}, one("empty", empty)}, optim.AdamWConfig{Eps: 1e-8}, nil)
		defer o.Free()
		for range 2 { // the second pass begins at zero again
			o.ZeroGradients()
			for range 2 {
				a.Square().Sum().Add(leaf.ToDType(torch.Float32).Sum().MulScalar(3)).Backward()
			}
		}
		if g := torch.ToSlice[float32](o.Gradient(0)); !slices.Equal(g, []float32{4, 8}) {
			t.Errorf("fp32: %v", g)
		}
		if g := torch.ToSlice[float32](o.Gradient(1).ToDType(torch.Float32)); !slices.Equal(g, []float32{6, 6, 6}) {
			t.Errorf("bf16: %v", g)
		}
		o.Step(0.5, nil, nil)
		if got := torch.ToSlice[float32](master); math.Abs(float64(got[2])-4.5) > 1e-5 {
			t.Errorf("the master went to %v", got)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
