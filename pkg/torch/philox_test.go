package torch

import (
	"math/bits"
	"testing"
)

// philox is Philox4x32-10 once more, after the paper and not after the kernels.
func philox(c [4]uint32, k [2]uint32) [4]uint32 {
	for range 10 {
		high0, low0 := bits.Mul32(0xD2511F53, c[0])
		high1, low1 := bits.Mul32(0xCD9E8D57, c[2])
		c = [4]uint32{high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0}
		k[0] += 0x9E3779B9
		k[1] += 0xBB67AE85
	}
	return c
}

// The vectors are those of Random123, examples/kat_vectors.
func TestPhilox(t *testing.T) {
	const ones = 0xffffffff
	for _, c := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{ones, ones, ones, ones}, [2]uint32{ones, ones}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := philox(c.counter, c.key); got != c.want {
			t.Errorf("philox(%x, %x) = %x, want %x", c.counter, c.key, got, c.want)
		}
	}
}

// maskOf is the mask of (rows, columns) for one head, 1 for what is kept, after the
// definition: element by element.
func maskOf(lengths []int, keys []int32, columns, head int, seed int64, site int32, threshold uint32) []uint8 {
	var mask []uint8
	for i, length := range lengths {
		for position := range length {
			for column := range columns {
				words := philox(
					[4]uint32{uint32(column / 8), uint32(position) | uint32(head)<<16, uint32(keys[i]), uint32(site)},
					[2]uint32{uint32(seed), uint32(uint64(seed) >> 32)})
				decision := words[column%8/2] >> (16 * (column % 2)) & 0xffff
				kept := uint8(0)
				if decision >= threshold {
					kept = 1
				}
				mask = append(mask, kept)
			}
		}
	}
	return mask
}
