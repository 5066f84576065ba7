package report

import (
	"math"
	"slices"
	"testing"
)

// scipy.stats.binomtest(one, one+other).pvalue
func TestMcNemarIsSciPys(t *testing.T) {
	for _, c := range []struct {
		one, other int
		want       float64
	}{{5, 1, 0.21875}, {13, 23, 0.13249816396273675}, {0, 0, 1}, {3, 3, 1}, {0, 9, 0.00390625}, {120, 80, 0.005685155996750306}, {1, 0, 1}} {
		if got := mcnemar(c.one, c.other); math.Abs(got-c.want) > 1e-10*c.want {
			t.Errorf("%d : %d: %v, want %v", c.one, c.other, got, c.want)
		}
	}
}

// Of few values the interval is Student's: scipy.stats.t.interval(0.95, n-1, mean, sem).
func TestIntervalOfFewIsSciPys(t *testing.T) {
	for _, c := range []struct {
		values    []float64
		low, high float64
	}{
		{[]float64{0.3, -0.1, 0.2}, -0.383781167920893, 0.6504478345875596},
		{[]float64{1, 2}, -4.853102368087347, 7.853102368087347},
		{[]float64{0.5, 0.5, 0.5, 0.5}, 0.5, 0.5},
	} {
		low, high, ok := interval(c.values)
		if !ok || math.Abs(low-c.low) > 1e-9 || math.Abs(high-c.high) > 1e-9 {
			t.Errorf("%v: %v … %v (%v), want %v … %v", c.values, low, high, ok, c.low, c.high)
		}
	}
	if _, _, ok := interval([]float64{1}); ok {
		t.Error("an interval of one value")
	}
}

// Of ten values and more it is a bootstrap's: scipy.stats.bootstrap with 200,000 resamples
// has 4.3 … 15.0 of these (Student's is 2.25 … 15.5). The same values have the same interval,
// which moves with them.
func TestIntervalOfManyIsABootstrap(t *testing.T) {
	values := []float64{1, 2, 4, 8, 16, 32, 3, 5, 7, 11}
	low, high, ok := interval(values)
	if !ok || math.Abs(low-4.3) > 0.11 || math.Abs(high-15) > 0.31 {
		t.Errorf("%v … %v (%v)", low, high, ok)
	}
	if again, _, _ := interval(slices.Clone(values)); low != again {
		t.Errorf("%v, then %v", low, again)
	}
	for i := range values {
		values[i] += 100
	}
	if moved, _, _ := interval(values); math.Abs(moved-low-100) > 1e-9 {
		t.Errorf("%v, moved by 100 %v", low, moved)
	}
}

func TestNaturalOrder(t *testing.T) {
	got := []string{"≤20000", "16", "≤5000", "b", "4", "a"}
	slices.SortFunc(got, naturally)
	if want := []string{"4", "16", "≤5000", "≤20000", "a", "b"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFormats(t *testing.T) {
	for got, want := range map[string]string{
		number(0.68376): "0.6838", number(math.NaN()): "–", number(-1234.5): "-1234", signed(0.01): "+0.0100", signed(-0.01): "−0.0100", signed(-1e-9): "0.0000",
		whole(22713216.4): "22,713,216", whole(999): "999", duration(4.213): "4.21 s", duration(119.96): "120 s", duration(754): "12.6 min", duration(7300): "2.03 h",
		memory(543 << 20): "543 MiB", memory(3 << 29): "1.50 GiB", probability(0.04567): "0.0457", probability(1e-9): "< 0.0001", digits(99.96): "100", digits(9.996): "10.0",
		Printable("a\x1b[31m\nb"): "a\uFFFD[31m\uFFFDb", spread(Sample{Values: []float64{0.5}}): "0.5000", spread(Sample{Values: []float64{1, 2}}): "1.5000 ±0.7071", count(1, "run"): "1 run",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Ticks are round numbers inside what is shown, few enough to be read.
func TestRoundTicks(t *testing.T) {
	for _, c := range []struct{ low, high float64 }{{0, 150}, {0.683, 0.749}, {-0.1, 0.13}, {0, 1}, {0.5, 0.5}, {1e-7, 3e-7}, {-2000, 31000}} {
		ticks := roundTicks(c.low, c.high)
		if n := len(ticks); c.low < c.high && (n < 3 || n > 10) {
			t.Errorf("%v: %d ticks", c, n)
		}
		seen := map[string]bool{}
		for _, tick := range ticks {
			if seen[tick.Label] || tick.Value < c.low-1e-9*math.Abs(c.low) || tick.Value > c.high*(1+1e-9) {
				t.Errorf("%v: %v", c, ticks)
			}
			seen[tick.Label] = true
		}
	}
}
