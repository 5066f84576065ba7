package factored

import (
	"fmt"
	"math"
)

// TensorTrain is a tensor train for each layer: core k is the leaf NAME.cores.(First+k)
// of shape (Layers, r_k, Modes[k], r_{k+1}), the inner bonds of one rank, the
// bonds at the ends Left and Right.
type TensorTrain struct {
	Name        string
	First       int
	Layers      int64
	Left, Right int64
	Modes       []int64
	Rank        int64
}

// Leaves is the cores. They are normal, of one standard deviation, such that the
// tensor train's entries have the given variance.
func (t TensorTrain) Leaves(variance float64) []Leaf {
	d := len(t.Modes)
	// An entry is a sum of Rank^(d-1) products of d independent numbers.
	products := math.Pow(float64(t.Rank), float64(d-1))
	sigma := math.Pow(variance/products, 1/float64(2*d))
	leaves := make([]Leaf, d)
	for k, n := range t.Modes {
		left, right := t.Rank, t.Rank
		if k == 0 {
			left = t.Left
		}
		if k == d-1 {
			right = t.Right
		}
		leaves[k] = Leaf{Name: fmt.Sprintf("%s.cores.%d", t.Name, t.First+k), Shape: []int64{t.Layers, left, n, right}, Start: Normal(0, sigma)}
	}
	return leaves
}

// ZeroLast makes the last leaf start at zero, and with it the tensor train.
func ZeroLast(leaves []Leaf) []Leaf {
	leaves[len(leaves)-1].Start = Zero
	return leaves
}
