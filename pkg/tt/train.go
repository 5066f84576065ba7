// Package tt is tensor-train algebra. A core is (left, n, right): its mode of
// size n stands between the bonds left and right, and an entry of the train is
// the product of the matrices that each core's index picks.
package tt

import "github.com/metatt/metatt/pkg/torch"

// Contract multiplies the cores of a stack of trains, core k being
// (stack, r_k, n_k, r_{k+1}), into (stack, r_1·n_1⋯n_d, r_{d+1}), the first mode
// slowest. There is at least one core.
func Contract(cores []*torch.Tensor) *torch.Tensor {
	merge := func(c *torch.Tensor) *torch.Tensor { return c.Reshape(c.Size(0), -1, c.Size(3)) }
	product := merge(cores[0])
	for _, c := range cores[1:] {
		stack, left, n, right := c.Size(0), c.Size(1), c.Size(2), c.Size(3)
		next := product.MatMul(c.Reshape(stack, left, n*right)) // (stack, N, left) x (stack, left, n·right)
		product = next.Reshape(stack, -1, right)
	}
	return product
}

// LargestRank is the largest rank that all bonds of a train of those modes can
// have: no bond holds more than the modes left of it, or right of it, can.
func LargestRank(modes []int64) int64 {
	const enough = int64(1) << 62 // above any rank
	times := func(product, n int64) int64 {
		if product > enough/n {
			return enough
		}
		return product * n
	}
	limit := enough
	left, right := make([]int64, len(modes)+1), make([]int64, len(modes)+1)
	left[0], right[len(modes)] = 1, 1
	for i := range modes {
		left[i+1] = times(left[i], modes[i])
		k := len(modes) - 1 - i
		right[k] = times(right[k+1], modes[k])
	}
	for bond := 1; bond < len(modes); bond++ {
		limit = min(limit, left[bond], right[bond])
	}
	return limit
}
