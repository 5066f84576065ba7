package config

import "fmt"

// checkDMRG looks for sweeps that contradict each other, whatever the run.
func (c *Config) checkDMRG() (problems []Problem) {
	d := c.DMRG
	if d.Mode == "none" {
		return nil
	}
	problem := func(key, format string, args ...any) {
		problems = append(problems, Problem{Where: c.where[key], Key: key, Message: fmt.Sprintf(format, args...)})
	}
	for i := 1; i < len(d.At); i++ {
		if d.At[i] <= d.At[i-1] {
			problem("dmrg.at", "%d stands behind %d; sweeps are listed as they follow one another", d.At[i], d.At[i-1])
			break
		}
	}
	if len(d.MinDim) == 0 || len(d.MaxDim) == 0 {
		return problems
	}
	for i := range max(len(d.MinDim), len(d.MaxDim)) {
		least, most := d.MinDim[min(i, len(d.MinDim)-1)], d.MaxDim[min(i, len(d.MaxDim)-1)]
		if most > 0 && least > most {
			problem("dmrg.mindim", "%d is above the dmrg.maxdim of sweep %d, %d", least, i+1, most)
			break
		}
	}
	return problems
}
