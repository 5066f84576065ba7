package optim

import "github.com/metatt/metatt/pkg/torch"

// fused is [AdamW.Queue] by the CUDA helper: some kernels, whatever the number of
// parameters.
func (o *AdamW) fused(loss *torch.Tensor) *torch.Tensor {
	ranges := make([]torch.AdamWSpan, len(o.staged.spans))
	for k, s := range o.staged.spans {
		n := s.to - s.from
		ranges[k] = torch.AdamWSpan{
			Values: o.values.Narrow(0, s.from, n), First: o.first.Narrow(0, s.from, n), Second: o.second.Narrow(0, s.from, n),
			Gradient: o.gradients[s.dtype].Narrow(0, s.from-s.start, n), Numbers: o.staged.numbers.Select(0, int64(k)),
		}
	}
	return torch.AdamW(o.gradients, loss, o.healthy, o.config.ClipNorm, o.config.Eps, largestNorm, ranges)
}
