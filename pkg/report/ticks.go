package report

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// roundTicks marks multiples of 1, 2 or 5 times a power of ten, four to nine of them.
func roundTicks(low, high float64) (ticks []plot.Tick) {
	if !(high > low) {
		return []plot.Tick{{Value: low, Label: short(low)}}
	}
	power := math.Floor(math.Log10((high - low) / 4))
	step := math.Pow(10, power)
	for _, factor := range []float64{5, 2} {
		if factor*step <= (high-low)/4 {
			step *= factor
			break
		}
	}
	decimals := max(0, -int(power))
	for k := math.Ceil(low/step - 1e-9); k*step <= high+1e-9*step; k++ {
		ticks = append(ticks, plot.Tick{Value: k * step, Label: strconv.FormatFloat(k*step+0, 'f', decimals, 64)})
	}
	return ticks
}

// decades marks 1, 2 and 5 of each power of ten.
func decades(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for power := math.Floor(math.Log10(low)); power <= math.Log10(high); power++ {
		for digit := 1.0; digit < 10; digit++ {
			value := digit * math.Pow(10, power)
			if value < low || value > high {
				continue
			}
			tick := plot.Tick{Value: value}
			if digit == 1 || high/low < 1e3 && (digit == 2 || digit == 5) {
				tick.Label = strconv.FormatFloat(value, 'g', 3, 64)
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// parameterTicks marks 1, 2 and 5 of each power of ten as 200, 5k, 1M.
func parameterTicks(low, high float64) []plot.Tick {
	ticks := decades(low, high)
	for i, t := range ticks {
		if t.Label == "" {
			continue
		}
		value, unit := t.Value, ""
		switch {
		case value >= 1e6*0.999:
			value, unit = value/1e6, "M"
		case value >= 1e3*0.999:
			value, unit = value/1e3, "k"
		}
		ticks[i].Label = strconv.FormatFloat(value, 'g', 3, 64) + unit
	}
	return ticks
}
