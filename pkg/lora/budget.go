package lora

import (
	"math"
	"slices"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// AfterUpdate implements [adapter.RankAdapter]: it smooths the importance, and
// when a change is due puts the least important singular values of all sites to
// zero; at the end of the schedule it drops them.
func (a *adaLoRA) AfterUpdate(step, total int, gradients []*torch.Tensor) (shrunk []adapter.Shrunk) {
	hold, last := stepsOf(a.schedule.Hold, total), total-stepsOf(a.schedule.Settle, total)
	if a.pruned || step > last {
		return nil
	}
	torch.NoGrad(func() {
		if step < last {
			a.weigh(gradients)
		}
		due := step > hold && step%max(1, a.schedule.Every) == 0
		if !due && step < last {
			return
		}
		live := a.choose(a.budget(step, hold, last))
		for i, t := range a.sites {
			mask := make([]float32, a.initial)
			for j, alive := range live[i] {
				if alive {
					mask[j] = 1
				}
			}
			t.values.MulInPlace(torch.FromSlice(mask, a.initial, 1).To(t.values.Device()))
		}
		if step == last {
			shrunk = a.prune(live)
		}
	})
	return shrunk
}

// budget is how many singular values all sites have together: a cubic fall from
// the initial to the final number between steps hold and last.
func (a *adaLoRA) budget(step, hold, last int) int {
	from, to := a.initial*int64(len(a.sites)), a.rank*int64(len(a.sites))
	left := 1 - float64(step-hold)/float64(last-hold)
	return int(float64(from-to)*left*left*left + float64(to))
}

// weigh follows |θ ∂L/∂θ| of every element: its smoothed value, and its smoothed
// distance from that.
func (a *adaLoRA) weigh(gradients []*torch.Tensor) {
	for i, t := range a.sites {
		for j, tensor := range t.tensors() {
			torch.Scoped(func() {
				now := tensor.Detach().Mul(gradients[3*i+j]).Abs()
				t.sensitivity[j].LerpInPlace(now, 1-a.decay[0])
				t.uncertainty[j].LerpInPlace(now.Sub(t.sensitivity[j]).Abs(), 1-a.decay[1])
			})
		}
	}
}

// scores is the importance of each of a site's components: that of its singular
// value plus the means over its two singular vectors.
func (t *triplet) scores() []float32 {
	var of [3]*torch.Tensor
	for j := range of {
		of[j] = t.sensitivity[j].Mul(t.uncertainty[j])
	}
	down := of[0].SumDim(1).MulScalar(1 / float64(t.site.In))
	up := of[1].SumDim(0).MulScalar(1 / float64(t.site.Out))
	return torch.ToSlice[float32](down.Add(up).Add(of[2].Reshape(-1)))
}

// choose is which components of each site are among the budget's most important;
// equal ones at the edge go together, as in PEFT.
func (a *adaLoRA) choose(budget int) [][]bool {
	scores := make([][]float32, len(a.sites))
	for i, t := range a.sites {
		scores[i] = t.scores()
	}
	threshold := float32(math.Inf(-1))
	if all := slices.Concat(scores...); budget < len(all) {
		slices.Sort(all)
		threshold = all[len(all)-budget-1]
	}
	live := make([][]bool, len(scores))
	for i := range scores {
		for _, score := range scores[i] {
			live[i] = append(live[i], score > threshold)
		}
	}
	return live
}

// prune leaves nothing but the live components.
func (a *adaLoRA) prune(live [][]bool) (shrunk []adapter.Shrunk) {
	for i, t := range a.sites {
		keep := []int64{}
		for j, alive := range live[i] {
			if alive {
				keep = append(keep, int64(j))
			}
		}
		for j, tensor := range []**torch.Tensor{&t.down, &t.up, &t.values} {
			dim := 0
			if tensor == &t.up {
				dim = 1
			}
			kept := (*tensor).Detach().IndexSelect(dim, torch.FromSlice(keep).To((*tensor).Device())).Keep()
			(*tensor).Free()
			*tensor = kept
			shrunk = append(shrunk, adapter.Shrunk{Parameter: 3*i + j, Dim: dim, Keep: keep})
		}
		t.live = live[i]
		t.forget()
	}
	a.pruned = true
	return shrunk
}

// Progress implements [adapter.RankAdapter]: the importance, while it counts.
func (a *adaLoRA) Progress() []adapter.Parameter {
	if a.pruned {
		return nil
	}
	var list []adapter.Parameter
	for _, t := range a.sites {
		for j, suffix := range [3]string{adaDown, adaUp, adaValues} {
			list = append(list, adapter.Parameter{Name: t.name + suffix + ".sensitivity", Tensor: t.sensitivity[j]},
				adapter.Parameter{Name: t.name + suffix + ".uncertainty", Tensor: t.uncertainty[j]})
		}
	}
	return list
}
