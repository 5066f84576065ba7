package torch

import "math"

// padding says how attention pads, where there is no kernel that does without: it is
// the way that plain operations have.
type padding struct {
	sequences, longest int64
	// All three are nil when all sequences have the same length.
	gather  *Tensor // (sequences·longest) Int64: the token at each padded place, 0 where there is none
	scatter *Tensor // (tokens) Int64: the padded place of each token
	mask    *Tensor // (sequences, 1, 1, longest): 0 at tokens, -∞ at padding
}

// Padded is s for plain operations on tensors of that dtype: offsets is what Offsets
// holds. What it makes belongs to the current scope.
func (s Sequences) Padded(offsets []int32, dtype DType) Sequences {
	p := &padding{sequences: int64(len(offsets) - 1)}
	s.padding = p
	device := s.Offsets.Device()
	tokens := int64(offsets[p.sequences])
	for i := range p.sequences {
		p.longest = max(p.longest, int64(offsets[i+1]-offsets[i]))
	}
	if tokens == p.sequences*p.longest {
		return s
	}
	gather, additive, scatter := make([]int64, p.sequences*p.longest), make([]float32, p.sequences*p.longest), make([]int64, 0, tokens)
	minusInf := float32(math.Inf(-1))
	for i := range p.sequences {
		start, n := int64(offsets[i]), int64(offsets[i+1]-offsets[i])
		for j := range p.longest {
			place := i*p.longest + j
			if j >= n {
				additive[place] = minusInf
				continue
			}
			gather[place] = start + j
			scatter = append(scatter, place)
		}
	}
	p.gather, p.scatter = Upload(gather, device), Upload(scatter, device)
	p.mask = Upload(additive, device, p.sequences, 1, 1, p.longest).ToDType(dtype)
	return s
}

// pad turns (tokens, hidden) into (sequences, heads, longest, hidden/heads). Padded
// places hold a copy of token 0: the mask keeps them out of every sum.
func (p *padding) pad(t *Tensor, heads int64) *Tensor {
	if p.gather != nil {
		t = t.Rows(p.gather)
	}
	return t.Reshape(p.sequences, p.longest, heads, -1).Transpose(1, 2)
}

// unpad is the inverse of pad: (sequences, heads, longest, d) to (tokens, hidden).
func (p *padding) unpad(t *Tensor) *Tensor {
	t = t.Transpose(1, 2).Reshape(p.sequences*p.longest, -1)
	if p.scatter == nil {
		return t
	}
	return t.Rows(p.scatter)
}

// paddedAttention is [Attention] by plain operations. An empty sequence would be rows
// of NaN: there is none.
func paddedAttention(q, k, v *Tensor, heads int64, queries, keys Sequences, d Drop) *Tensor {
	const op = "attention"
	if queries.padding == nil || keys.padding == nil {
		panic(Errorf(op, "sequences of %s are not padded, and there is no kernel that does without", q.Device()))
	}
	q, k, v = queries.padding.pad(q, heads), keys.padding.pad(k, heads), keys.padding.pad(v, heads) // (sequences, heads, longest, d)
	var context *Tensor
	if mask := keys.padding.mask; d.none() {
		context = scaledDotProduct(q, k, v, mask)
	} else { // the fused kernel has no dropout on the CPU
		scores := q.MulScalar(1 / math.Sqrt(float64(q.Size(-1)))).MatMul(k.Transpose(-2, -1))
		if mask != nil {
			scores = scores.AddInPlace(mask)
		}
		context = scores.Softmax(-1).Dropout(d.P).MatMul(v)
	}
	return queries.padding.unpad(context)
}
