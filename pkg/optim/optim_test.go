package optim_test

import (
	"math"
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

func TestAdamWFollowsItsEquations(t *testing.T) {
	config := optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1}
	start := []float64{0.3, -1.2, 4}
	refs := make([]reference, len(start))
	values := make([]float32, len(start))
	for i, p := range start {
		refs[i].p, values[i] = p, float32(p)
	}
	if err := torch.Do(func() error {
		p := torch.FromSlice(values).SetRequiresGrad(true)
		o := optim.NewAdamW([]*torch.Tensor{p}, config)
		defer o.Free()
		for step := 1; step <= 25; step++ {
			lr := 0.05 / float64(step)
			g := make([]float32, len(start))
			for i := range g {
				g[i] = float32(math.Sin(float64(3*step+i)) * math.Pow(10, float64(-i)))
				refs[i].step(step, lr, float64(g[i]), config)
			}
			o.Step(lr, []*torch.Tensor{torch.FromSlice(g)})
			if step == 12 { // a restored optimizer goes on with the same numbers
				m, v := o.Moments(0)
				other := optim.NewAdamW([]*torch.Tensor{p}, config)
				if err := other.Restore(o.Progress(), []*torch.Tensor{m}, []*torch.Tensor{v}); err != nil {
					return err
				}
				o.Free()
				o = other
			}
		}
		for i, got := range torch.ToSlice[float32](p.Detach()) {
			if math.Abs(float64(got)-refs[i].p) > 1e-6*math.Abs(refs[i].p)+1e-7 {
				t.Errorf("parameter %d: %v, want %v", i, got, refs[i].p)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestRestoreChecksShapes(t *testing.T) {
	if err := torch.Do(func() error {
		o := optim.NewAdamW([]*torch.Tensor{torch.Zeros(torch.Float32, torch.CPU, 2, 3)}, optim.AdamWConfig{})
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
}

func TestClip(t *testing.T) {
	if err := torch.Do(func() error {
		g := []*torch.Tensor{torch.FromSlice([]float32{3, 0}), torch.FromSlice([]float32{4}, 1, 1)}
		if norm := optim.Clip(g, 0); norm != 5 || g[1].Item() != 4 {
			t.Errorf("no limit: norm %v, gradient %v", norm, g[1].Item())
		}
		if norm := optim.Clip(g, 10); norm != 5 || g[1].Item() != 4 {
			t.Errorf("below the limit: norm %v, gradient %v", norm, g[1].Item())
		}
		if norm := optim.Clip(g, 1); norm != 5 || math.Abs(g[1].Item()-0.8) > 1e-6 {
			t.Errorf("above the limit: norm %v, gradient %v", norm, g[1].Item())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
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
// the learning rate.
func TestParametersOfTheirOwn(t *testing.T) {
	if err := torch.Do(func() error {
		config := optim.AdamWConfig{Beta1: 0.9, Beta2: 0.99, Eps: 1e-12, WeightDecay: 0.1}
		a, b := torch.FromSlice([]float32{1, 2}), torch.FromSlice([]float32{3, 4, 5})
		o := optim.NewAdamW([]*torch.Tensor{a, b}, config)
		defer o.Free()
		ga, gb := torch.FromSlice([]float32{1, -1}), torch.FromSlice([]float32{2, 2, -2})
		o.Step(0.5, []*torch.Tensor{ga, nil})
		if !b.Equal(torch.FromSlice([]float32{3, 4, 5})) || o.Progress()[1].Steps != 0 {
			t.Errorf("a parameter without a gradient moved to %v", torch.ToSlice[float32](b))
		}
		if m, v := o.Moments(1); m.Norm().Item() != 0 || v.Norm().Item() != 0 {
			t.Error("its moments moved")
		}
		// Adam's first step is lr · sign(g), here a fifth of it, after decay by a fifth.
		o.Scale(1, 0.2)
		o.Step(0.5, []*torch.Tensor{nil, gb})
		for i, want := range []float32{3*0.99 - 0.1, 4*0.99 - 0.1, 5*0.99 + 0.1} {
			if got := torch.ToSlice[float32](b)[i]; math.Abs(float64(got-want)) > 1e-5 {
				t.Errorf("scaled: %v, want %v", got, want)
			}
		}
		// Anew, warmed up over 4 steps: the first has a quarter of the rate.
		c := torch.FromSlice([]float32{7})
		o.Replace(0, c, nil, nil, 4)
		o.Step(0.5, []*torch.Tensor{torch.FromSlice([]float32{-3}), nil})
		if got, want := c.Item(), 7*(1-0.1*0.125)+0.125; math.Abs(got-want) > 1e-5 || o.Progress()[0] != (optim.Progress{Steps: 1, Rewarm: 4}) {
			t.Errorf("anew: %v, want %v; %+v", got, want, o.Progress()[0])
		}
		// Going on: the moments are copies, the updates counted on.
		m, v := o.Moments(0)
		d := torch.FromSlice([]float32{7})
		o.Replace(0, d, m, v, 0)
		if p := o.Progress()[0]; p.Steps != 1 {
			t.Errorf("going on at %+v", p)
		}
		if again, _ := o.Moments(0); again.Norm().Item() == 0 || again == m {
			t.Error("the moments were lost, or are not copies")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// An update after which a parameter would not be finite changes none; what overflows
// fp32's square is as good as infinite.
func TestNoUpdateBeyondWhatIsFinite(t *testing.T) {
	infinite, nan := float32(math.Inf(1)), float32(math.NaN())
	if err := torch.Do(func() error {
		for _, lr := range []float64{1e20, 1e39, 1e300, math.Inf(1), math.NaN()} {
			a, b := torch.FromSlice([]float32{1, 2}), torch.FromSlice([]float32{3})
			o := optim.NewAdamW([]*torch.Tensor{a, b, torch.Zeros(torch.Float32, torch.CPU, 0)}, optim.AdamWConfig{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1})
			none := torch.Zeros(torch.Float32, torch.CPU, 0)
			o.Scale(0, 1e-300) // of b alone the update is too large
			if at := o.Step(lr, []*torch.Tensor{torch.FromSlice([]float32{1, 1}), torch.FromSlice([]float32{1}), none}); at != 1 && !math.IsNaN(lr) && !math.IsInf(lr, 0) || at < 0 {
				t.Errorf("rate %v: overflown is %d", lr, at)
			}
			if !a.Equal(torch.FromSlice([]float32{1, 2})) || b.Item() != 3 {
				t.Errorf("rate %v: %v and %v, want them as they were", lr, torch.ToSlice[float32](a), b.Item())
			}
			for i := range 2 {
				if m, v := o.Moments(i); optim.FirstNotFinite([]*torch.Tensor{m, v}) >= 0 {
					t.Errorf("rate %v: moments of parameter %d are not finite", lr, i)
				}
			}
			if at := o.Step(0.1, []*torch.Tensor{nil, nil, none}); at != -1 {
				t.Errorf("nothing to do: overflown is %d", at)
			}
			o.Free()
		}
		// An epsilon that fp32 does not hold makes 0/0 of a zero gradient.
		p := torch.FromSlice([]float32{1})
		o := optim.NewAdamW([]*torch.Tensor{p}, optim.AdamWConfig{Eps: 1e-60})
		defer o.Free()
		if at := o.Step(0.1, []*torch.Tensor{torch.FromSlice([]float32{0})}); at != 0 || p.Item() != 1 {
			t.Errorf("0/0: overflown is %d, the parameter %v", at, p.Item())
		}
		for _, bad := range []float32{infinite, -infinite, nan, 1e20} {
			g := []*torch.Tensor{torch.FromSlice([]float32{3, 0}), torch.FromSlice([]float32{bad})}
			if norm := optim.Clip(g, 1); optim.Finite(norm) || g[0].Norm().Item() != 3 {
				t.Errorf("a gradient of %v: norm %v, the others are scaled to %v", bad, norm, g[0].Norm().Item())
			}
			if at := optim.FirstNotFinite([]*torch.Tensor{nil, g[0], g[1]}); at != 2 {
				t.Errorf("%v is found at %d", bad, at)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
