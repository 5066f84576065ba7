package train

import "time"

// lap is a stretch of training alone.
type lap struct {
	Seconds float64 `json:"seconds"`
	Samples int     `json:"samples"` // training examples
}

func (l *lap) add(seconds float64, samples int) {
	l.Seconds += seconds
	l.Samples += samples
}

// speed is samples per second; 0 where nothing was trained.
func (l lap) speed() float64 {
	if l.Seconds <= 0 {
		return 0
	}
	return float64(l.Samples) / l.Seconds
}

// laps are those that a resumed run goes on with.
type laps struct {
	Trained lap `json:"trained"` // so far
	Lap     lap `json:"lap"`     // since the last evaluation
}

// clock is a run's, without the pauses between resumptions.
type clock struct {
	laps
	before  float64   // seconds that earlier processes took
	process time.Time // that this one began at
	here    lap       // trained by this process
	step    time.Time // that began last
}

func (c *clock) began(s state) { c.laps, c.before, c.process = s.laps, s.Seconds, time.Now() }

func (c *clock) start() { c.step = time.Now() }

func (c *clock) stop(samples int) {
	seconds := time.Since(c.step).Seconds()
	for _, l := range []*lap{&c.Trained, &c.Lap, &c.here} {
		l.add(seconds, samples)
	}
}

func (c *clock) seconds() float64 { return c.before + time.Since(c.process).Seconds() }

// eta is how long so many examples will take.
func (c *clock) eta(samples int) time.Duration {
	if c.here.Samples == 0 {
		return 0
	}
	return time.Duration(float64(samples) * c.here.Seconds / float64(c.here.Samples) * float64(time.Second))
}
