package optim_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/metatt/metatt/pkg/optim"
	"github.com/metatt/metatt/pkg/torch"
)

// everything is the bits of an optimizer's values and moments.
func everything(o *optim.AdamW) (bits []uint32) {
	for i, p := range o.Parameters() {
		m, v := o.Moments(i)
		for _, t := range []*torch.Tensor{p.Value, m, v} {
			for _, x := range torch.ToSlice[float32](t.Detach()) {
				bits = append(bits, math.Float32bits(x))
			}
		}
	}
	return bits
}

// An update of flat buffers is that of each tensor by itself, but for how a norm and a weight that
// stands on the device is rounded.
func TestFlatUpdatesAreThoseOfEachTensor(t *testing.T) {
	config := optim.AdamWConfig{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: 1}
	if err := torch.Do(func() error {
		torch.Seed(5)
		var parameters []optim.Parameter
		var values []*torch.Tensor
		for i, shape := range [][]int64{{3, 5}, {1}, {383, 401}, {7, 1, 2}, {64}, {65}} {
			value := torch.Randn(torch.Float32, torch.CPU, shape...)
			values = append(values, value.Clone())
			parameters = append(parameters, one(fmt.Sprint(i), value))
		}
		list, flat := newOneByOne(values, config), optim.NewAdamW(parameters, config, nil)
		defer flat.Free()
		for step := range 7 {
			torch.Scoped(func() {
				var gradients []*torch.Tensor
				for i, value := range values {
					g := torch.Randn(torch.Float32, torch.CPU, value.Shape()...)
					gradients = append(gradients, g)
					torch.NoGrad(func() { flat.Gradient(i).CopyFrom(g) })
				}
				lr := 1e-2 / float64(1+step)
				if made := torch.ToSlice[float32](flat.Step(lr, nil, nil))[1] == 1; !made || !list.step(lr, gradients) {
					t.Errorf("step %d was not made", step)
				}
			})
			for i, p := range parameters {
				m, v := flat.Moments(i)
				for k, pair := range [][2]*torch.Tensor{{p.Value.Detach(), values[i]}, {m, list.first[i]}, {v, list.second[i]}} {
					torch.NoGrad(func() {
						torch.Scoped(func() {
							if off, size := pair[0].Sub(pair[1]).MaxAbs().Item(), pair[1].MaxAbs().Item(); off > 1e-5*size {
								t.Errorf("step %d: parameter %d: value, m, v number %d is off by %v of %v", step, i, k, off, size)
							}
						})
					})
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Where reading would wait for the device, steps come to what they come to on the CPU, to
// the bit: those that are made, and those that are not, after which nothing has changed.
func TestStepsThatReadNothing(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	type step struct {
		rate     float64
		gradient []float32 // of the first elements of a
		loss     float32
		made     bool
	}
	good := step{1e-3, []float32{1, -2}, 0.5, true}
	for name, c := range map[string]struct {
		change func(c *optim.AdamWConfig)
		before func(o *optim.AdamW)
		last   step
	}{
		"good":                       {last: good},
		"no clipping":                {change: func(c *optim.AdamWConfig) { c.ClipNorm = 0 }, last: good},
		"no decay":                   {change: func(c *optim.AdamWConfig) { c.WeightDecay = 0 }, last: good},
		"a large rate":               {last: step{1e15, []float32{1, 1}, 1, true}},
		"a large gradient":           {last: step{1e-3, []float32{1e19}, 1, true}},
		"large moments":              {before: moment(0, 1e12), last: good},
		"a large ε":                  {change: func(c *optim.AdamWConfig) { c.Eps = 1e3 }, last: good},
		"a small ε":                  {change: func(c *optim.AdamWConfig) { c.Eps = 1e-37 }, last: good},
		"no rate":                    {last: step{0, []float32{1}, 1, true}},
		"no gradient":                {last: step{1e-3, nil, 1, true}},
		"NaN":                        {last: step{1e-3, []float32{0, nan}, 1, false}},
		"∞":                          {last: step{1e-3, []float32{-inf}, 1, false}},
		"a norm that is too large":   {last: step{1e-3, []float32{1.5e19, 1.5e19}, 1, false}},
		"a loss that is none":        {last: step{1e-3, []float32{1}, nan, false}},
		"an infinite loss":           {last: step{1e-3, []float32{1}, -inf, false}},
		"a rate that fp32 lacks":     {last: step{1e39, []float32{1}, 1, false}},
		"that of no gradient":        {before: noMoments, last: step{1e39, nil, 1, false}},
		"too large a rate":           {last: step{1e20, []float32{1}, 1, false}},
		"no rate at all":             {last: step{math.NaN(), []float32{1}, 1, false}},
		"decay beyond what fp32 has": {change: func(c *optim.AdamWConfig) { c.WeightDecay = 1e32 }, before: noMoments, last: step{1e7, nil, 1, false}},
		"a moment that is too large": {before: moment(0, 1e22), last: step{1e-3, []float32{1}, 1, false}},
		"a negative second moment":   {before: moment(1, -1), last: step{1e-3, []float32{0.1}, 1, false}},
		"a moment that is none":      {before: moment(0, math.NaN()), last: step{1e-3, []float32{1}, 1, false}},
		"a value that is none":       {before: func(o *optim.AdamW) { o.Parameters()[1].Value.Detach().AddScalarInPlace(math.NaN()) }, last: step{1e-3, nil, 1, false}},
		"an ε that fp32 lacks":       {change: func(c *optim.AdamWConfig) { c.Eps = 1e-60 }, before: noMoments, last: step{1e-3, nil, 1, false}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := torch.Do(func() error {
				config := optim.AdamWConfig{Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, ClipNorm: 2}
				if c.change != nil {
					c.change(&config)
				}
				run := func(reads bool) (outcomes [][]float32, states [][]uint32) {
					values := make([]float32, 140_003)
					for i := range values {
						values[i] = float32(i%7) - 2.5
					}
					a, master := torch.FromSlice(values), torch.FromSlice([]float32{3, -4, 5})
					bias := one("bias", torch.FromSlice([]float32{6}))
					bias.Undecayed = true
					o := optim.NewAdamW([]optim.Parameter{one("a", a), {Name: "b", Value: master, Leaf: master.ToDType(torch.BFloat16), Scale: 0.5}, bias}, config, nil)
					defer o.Free()
					if !reads {
						o.ReadNothing()
					}
					for k, s := range []step{good, good, c.last, good} {
						if k == 2 && c.before != nil {
							torch.NoGrad(func() { c.before(o) })
							states = append(states, everything(o))
						}
						gradient := make([]float32, len(values))
						copy(gradient, s.gradient)
						with(o, gradient, []float32{0, 0, 0})
						idle := func(i int) bool { return k == 1 && i == 2 }
						outcomes = append(outcomes, torch.ToSlice[float32](o.Step(s.rate, torch.FromSlice([]float32{s.loss}).Reshape(), idle)))
						states = append(states, everything(o))
					}
					return outcomes, states
				}
				outcomes, states := run(true)
				unread, same := run(false)
				for k := range outcomes {
					a, b := outcomes[k], unread[k]
					if math.Float32bits(a[0]) != math.Float32bits(b[0]) && a[0] == a[0] || a[1] != b[1] {
						t.Errorf("step %d: %v and %v", k, a, b)
					}
				}
				if !slices.EqualFunc(states, same, slices.Equal[[]uint32]) {
					t.Error("the states differ")
				}
				if made := outcomes[2][1] == 1; made != c.last.made {
					t.Errorf("made: %v", made)
				}
				n := len(states)
				if after := slices.Equal(states[n-3], states[n-2]) && slices.Equal(states[n-2], states[n-1]); after == c.last.made {
					t.Errorf("made: %v; the state is what it was: %v", c.last.made, after)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// moment adds to a moment of the second parameter.
func moment(which int, x float64) func(*optim.AdamW) {
	return func(o *optim.AdamW) {
		m, v := o.Moments(1)
		[]*torch.Tensor{m, v}[which].AddScalarInPlace(x)
	}
}

// noMoments makes all values and moments zero.
func noMoments(o *optim.AdamW) {
	for i := range o.Parameters() {
		m, v := o.Moments(i)
		m.Zero()
		v.Zero()
		o.Parameters()[i].Value.Detach().Zero()
	}
}
