package report

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Sample is a figure over runs.
type Sample struct {
	Values    []float64 // of the runs that have one, in their order
	Undefined int       // runs without one: a correlation with a constant, a figure not recorded
}

func (s *Sample) add(value *float64) {
	if value == nil {
		s.Undefined++
		return
	}
	s.Values = append(s.Values, *value)
}

// Mean is NaN without values.
func (s Sample) Mean() float64 {
	if len(s.Values) == 0 {
		return math.NaN()
	}
	return stat.Mean(s.Values, nil)
}

// Std is the standard deviation of the sample, with n-1; NaN of fewer than two values.
func (s Sample) Std() float64 {
	if len(s.Values) < 2 {
		return math.NaN()
	}
	return stat.StdDev(s.Values, nil)
}

// Median is the mean of the two in the middle of an even number; NaN without values.
func (s Sample) Median() float64 {
	n := len(s.Values)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s.Values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

const (
	confidence  = 0.95
	fewestPairs = 2 // of an interval
	// fewestOfBootstrap is where the bootstrap takes over from Student's t. Its percentile
	// interval of three values is their range, which holds the mean of the distribution
	// three times of four and not 19 of 20.
	fewestOfBootstrap = 10
	// The bootstrap: this many resamples, drawn by a generator of this seed, so that the same
	// runs always have the same interval.
	resamples     = 10_000
	bootstrapSeed = 20_250_609
)

// interval holds the mean of those values' distribution with that confidence: Student's t of
// few values, a bootstrap of more. ok is false of too few.
func interval(values []float64) (low, high float64, ok bool) {
	switch {
	case len(values) < fewestPairs:
		return 0, 0, false
	case len(values) < fewestOfBootstrap:
		low, high = student(values)
	default:
		low, high = bootstrap(values)
	}
	return low, high, true
}

// student is Student's interval of the mean.
func student(values []float64) (low, high float64) {
	n := float64(len(values))
	mean, deviation := stat.MeanStdDev(values, nil)
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile((1+confidence)/2) * stat.StdErr(deviation, n)
	return mean - half, mean + half
}

// bootstrap is the percentile interval of the mean: the means of as many values drawn with
// replacement, between their quantiles.
func bootstrap(values []float64) (low, high float64) {
	random := rand.New(rand.NewPCG(bootstrapSeed, uint64(len(values))))
	means := make([]float64, resamples)
	for k := range means {
		for range values {
			means[k] += values[random.IntN(len(values))]
		}
		means[k] /= float64(len(values))
	}
	slices.Sort(means)
	tail := (1 - confidence) / 2
	return stat.Quantile(tail, stat.Empirical, means, nil), stat.Quantile(1-tail, stat.Empirical, means, nil)
}

// mcnemar is the exact two-sided p of McNemar's test: of examples that one side alone has
// right, each is either's with probability 1/2.
func mcnemar(one, other int) float64 {
	if one+other == 0 {
		return 1
	}
	tail := distuv.Binomial{N: float64(one + other), P: 0.5}.CDF(float64(min(one, other)))
	return min(1, 2*tail)
}
