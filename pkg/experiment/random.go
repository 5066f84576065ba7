package experiment

import (
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/metatt/metatt/pkg/config"
)

// Random draws settings: as many trials as it says, the same for the same seed.
type Random struct {
	Trials int
	Seed   uint64
	Draws  []Draw
}

// Draw is where a key's values come from: a list, or an interval of numbers.
type Draw struct {
	Values
	From, To float64
	Log      bool // uniform in the logarithm
	Integer  bool
}

// trials are the settings of each trial.
func (r *Random) trials() [][]config.Setting {
	if r == nil {
		return [][]config.Setting{nil}
	}
	generator := rand.New(rand.NewPCG(r.Seed, 0))
	drawn := make([][]config.Setting, r.Trials)
	for i := range drawn {
		for _, d := range r.Draws {
			drawn[i] = append(drawn[i], d.setting(d.draw(generator)))
		}
	}
	return drawn
}

func (d Draw) draw(generator *rand.Rand) string {
	if len(d.Texts) > 0 {
		return d.Texts[generator.IntN(len(d.Texts))]
	}
	from, to := d.From, d.To
	if d.Integer {
		to++ // the last one is drawn too
	}
	u := generator.Float64()
	x := from + u*(to-from)
	if d.Log {
		x = from * math.Pow(to/from, u)
	}
	if d.Integer {
		return strconv.Itoa(int(min(math.Floor(x), d.To)))
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}
