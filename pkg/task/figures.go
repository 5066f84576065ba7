package task

import (
	"cmp"
	"math"
	"slices"
)

// confusion counts the examples of each gold class (row) and predicted class
// (column).
func confusion(gold, predicted []int, classes int) [][]float64 {
	counts := make([][]float64, classes)
	for i := range counts {
		counts[i] = make([]float64, classes)
	}
	for i, g := range gold {
		counts[g][predicted[i]]++
	}
	return counts
}

// accuracy is the share of examples on the diagonal.
func accuracy(counts [][]float64) float64 {
	var right, all float64
	for i, row := range counts {
		right += row[i]
		for _, n := range row {
			all += n
		}
	}
	return right / all
}

// f1 is the harmonic mean of precision and recall of one class, and 0 where that
// class is neither gold nor predicted.
func f1(counts [][]float64, class int) float64 {
	hits, inRow, inColumn := counts[class][class], 0.0, 0.0
	for k := range counts {
		inRow += counts[class][k]
		inColumn += counts[k][class]
	}
	if hits == 0 {
		return 0
	}
	return 2 * hits / (inRow + inColumn)
}

// macroF1 is the mean of the F1 of the classes that are gold or predicted.
func macroF1(counts [][]float64) float64 {
	var sum, present float64
	for class := range counts {
		seen := false
		for k := range counts {
			seen = seen || counts[class][k] > 0 || counts[k][class] > 0
		}
		if seen {
			sum += f1(counts, class)
			present++
		}
	}
	return sum / present
}

// matthews is the correlation coefficient of gold and predicted classes for any
// number of classes, and 0 where either side has one class only.
// Gorodkin, "Comparing two K-category assignments by a K-category correlation
// coefficient", 2004.
func matthews(counts [][]float64) float64 {
	var all, right, both, gold, predicted float64
	for k := range counts {
		var inRow, inColumn float64
		for j := range counts {
			inRow += counts[k][j]
			inColumn += counts[j][k]
		}
		all += inRow
		right += counts[k][k]
		both += inRow * inColumn
		gold += inRow * inRow
		predicted += inColumn * inColumn
	}
	spread := (all*all - gold) * (all*all - predicted)
	if spread == 0 {
		return 0
	}
	return (right*all - both) / math.Sqrt(spread)
}

// pearson is the linear correlation of two lists of equal length; it is
// undefined, and defined false, where either has one value only.
func pearson(x, y []float64) (r float64, defined bool) {
	meanX, meanY := mean(x), mean(y)
	var xx, yy, xy float64
	for i := range x {
		dx, dy := x[i]-meanX, y[i]-meanY
		xx += dx * dx
		yy += dy * dy
		xy += dx * dy
	}
	// Asked of the values: the mean of equal ones may differ from them in its last bit.
	if constant(x) || constant(y) {
		return 0, false
	}
	return max(-1, min(1, xy/(math.Sqrt(xx)*math.Sqrt(yy)))), true
}

// spearman is the Pearson correlation of the ranks.
func spearman(x, y []float64) (r float64, defined bool) {
	return pearson(ranks(x), ranks(y))
}

// ranks counts from 1; equal values share the mean of their ranks.
func ranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	ranks := make([]float64, len(values))
	for start := 0; start < len(order); {
		end := start + 1
		for end < len(order) && values[order[end]] == values[order[start]] {
			end++
		}
		for _, i := range order[start:end] {
			ranks[i] = float64(start+1+end) / 2
		}
		start = end
	}
	return ranks
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

func constant(values []float64) bool {
	return !slices.ContainsFunc(values, func(v float64) bool { return v != values[0] })
}
