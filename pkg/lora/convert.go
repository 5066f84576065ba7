package lora

import (
	"errors"
	"fmt"

	"github.com/metatt/metatt/pkg/adapter"
	"github.com/metatt/metatt/pkg/torch"
)

// Convert makes a LoRA of updates that are products of two thin matrices: factors
// is what [adapter.Factored] has of a site, (In, r) and (r, Out). B A is the
// update exactly, scale included: each module's α is its rank.
//
// A site without factors is not adapted. A module has the rank of its factors, or the smaller side of the matrix where
// that is below it. Where nothing is left of an update, as AdaLoRA may decide, it
// is a zero of rank 1: PEFT has no LoRA of rank 0.
func Convert(model adapter.Architecture, targets []adapter.Kind, factors func(adapter.Site) (in, out *torch.Tensor)) (adapter.Adapter, error) {
	if len(targets) == 0 {
		return nil, fmt.Errorf("lora: no targets")
	}
	l := &lowRank{adapted: adapted[*pair]{method: "lora", model: model, targets: targets}}
	err := torch.Do(func() error {
		torch.NoGrad(func() {
			for layer := range model.Layers {
				for _, kind := range targets {
					site := model.Site(layer, kind)
					torch.Scoped(func() {
						in, out := factors(site)
						if in == nil {
							return
						}
						p := &pair{at: module{site, model.Module(site)}.at()}
						l.add(site, p)
						p.take(in, out)
						l.rank = max(l.rank, p.rank)
					})
				}
			}
		})
		if l.sites == nil {
			return errors.New("no site has an update")
		}
		l.alpha = float64(l.rank)
		for _, p := range l.sites {
			p.setAlpha(l.variant, float64(p.rank))
			p.down.SetRequiresGrad(true)
			p.up.SetRequiresGrad(true)
		}
		return nil
	})
	if err != nil {
		l.Free()
		return nil, fmt.Errorf("lora: %w", err)
	}
	return linear{l}, nil
}

// take makes A and B of the factors of ΔW = in · out.
func (p *pair) take(in, out *torch.Tensor) {
	switch rank := in.Size(1); {
	case rank == 0:
		zero := func(rows, columns int64) *torch.Tensor { return torch.Zeros(in.DType(), in.Device(), rows, columns) }
		in, out = zero(p.site.In, 1), zero(1, p.site.Out)
	case rank > p.site.In && p.site.In <= p.site.Out:
		in, out = torch.Eye(in.DType(), in.Device(), p.site.In, p.site.In), in.MatMul(out)
	case rank > p.site.Out:
		in, out = in.MatMul(out), torch.Eye(in.DType(), in.Device(), p.site.Out, p.site.Out)
	}
	// Copies: factors may be parts of one tensor, and need not be in order.
	p.rank, p.down, p.up = in.Size(1), in.T().Clone().Contiguous().Keep(), out.T().Clone().Contiguous().Keep()
}
