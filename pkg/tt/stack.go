package tt

import "github.com/metatt/metatt/pkg/torch"

// Contract multiplies the cores of a stack of trains, core k being
// (stack, r_k, n_k, r_{k+1}), into (stack, r_1·n_1⋯n_d, r_{d+1}), the first mode
// slowest. There is at least one core. Unlike the methods of [Train] it is
// recorded by autograd.
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
// have.
func LargestRank(modes []int64) int64 {
	if len(modes) < 2 {
		return 1
	}
	limit := Bound(modes, 0)
	for b := 1; b < len(modes)-1; b++ {
		limit = min(limit, Bound(modes, b))
	}
	return limit
}
