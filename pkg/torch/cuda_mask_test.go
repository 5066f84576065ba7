package torch

// maskedRows is packed sequences and a dropout of them, in Go.
type maskedRows struct {
	offsets, keys []int32
	seed          int64
	site          int32
	threshold     uint32
}

// keeps is whether an element of a row is kept, as [Drop] has it.
func (p maskedRows) keeps(row, column int) bool {
	sequence := 0
	for i := range p.keys {
		if int(p.offsets[i]) <= row {
			sequence = i // of those that begin there the last: the others are empty
		}
	}
	words := philox([4]uint32{uint32(column / 8), uint32(row - int(p.offsets[sequence])), uint32(p.keys[sequence]), uint32(p.site)},
		[2]uint32{uint32(p.seed), uint32(uint64(p.seed) >> 32)})
	return words[column%8/2]>>(16*(column%2))&0xffff >= p.threshold
}

func (p maskedRows) rows() int { return int(p.offsets[len(p.offsets)-1]) }

func (p maskedRows) scale() float64 { return 1 / (1 - float64(p.threshold)/(1<<16)) }

// mask is what elements of (rows, n) are multiplied by.
func (p maskedRows) mask(n int) []float32 {
	mask := make([]float32, p.rows()*n)
	for i := range mask {
		if p.keeps(i/n, i%n) {
			mask[i] = float32(p.scale())
		}
	}
	return mask
}
