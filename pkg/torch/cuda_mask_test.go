package torch

import "testing"

// philox4x32 is Philox4x32-10 of that key and counter.
func philox4x32(key [2]uint32, c [4]uint32) [4]uint32 {
	for range 10 {
		a, b := uint64(0xD2511F53)*uint64(c[0]), uint64(0xCD9E8D57)*uint64(c[2])
		c = [4]uint32{uint32(b>>32) ^ c[1] ^ key[0], uint32(b), uint32(a>>32) ^ c[3] ^ key[1], uint32(a)}
		key[0] += 0x9E3779B9
		key[1] += 0xBB67AE85
	}
	return c
}

// The known answers of Random123.
func TestPhiloxKnownAnswers(t *testing.T) {
	const all = 0xffffffff
	for _, c := range []struct {
		key     [2]uint32
		counter [4]uint32
		want    [4]uint32
	}{
		{[2]uint32{}, [4]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[2]uint32{all, all}, [4]uint32{all, all, all, all}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[2]uint32{0xa4093822, 0x299f31d0}, [4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if have := philox4x32(c.key, c.counter); have != c.want {
			t.Errorf("philox(%x, %x) = %x, want %x", c.key, c.counter, have, c.want)
		}
	}
}

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
	words := philox4x32([2]uint32{uint32(p.seed), uint32(uint64(p.seed) >> 32)},
		[4]uint32{uint32(column / 8), uint32(row - int(p.offsets[sequence])), uint32(p.keys[sequence]), uint32(p.site)})
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
