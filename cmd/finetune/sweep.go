package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/metatt/metatt/pkg/dmrg"
	"github.com/metatt/metatt/pkg/train"
)

// sweepLines is a sweep as a table: what it came to, and a line for each bond that was looked at with the norm of what
// it lost and its leading singular values.
func sweepLines(s train.SweepInfo) string {
	var text strings.Builder
	fmt.Fprintf(&text, "sweep %d  step %d  %s", s.Sweep+1, s.Step, s.Mode)
	if s.Open != dmrg.NoPair {
		fmt.Fprintf(&text, "  cores %d and %d are trained as one", s.Open+1, s.Open+2)
	} else {
		fmt.Fprintf(&text, "  ranks %s  parameters %s", list(s.Ranks), grouped(s.Parameters))
	}
	fmt.Fprintf(&text, "  in %s", seconds(s.Seconds).Round(time.Millisecond))
	r := s.Report
	if r == nil {
		return text.String()
	}
	if r.Skipped {
		return text.String() + "\n  the update is zero: there is nothing to truncate"
	}
	fmt.Fprintf(&text, "\n  error %.2g of norm %.3g", r.Error, r.Norm)
	if p := r.Probe; p != nil {
		fmt.Fprintf(&text, "  probe loss %s to %s", figure(p.Before), figure(p.After))
		if p.Undone > 0 {
			fmt.Fprintf(&text, ", %d smaller ranks undone", p.Undone)
		}
	}
	for b, bond := range r.Bonds {
		if len(bond.Spectrum) == 0 {
			continue
		}
		fmt.Fprintf(&text, "\n  bond %d  rank %3d to %3d", b+1, bond.Before, bond.After)
		if bond.Added > 0 {
			fmt.Fprintf(&text, ", %d new", bond.Added)
		}
		fmt.Fprintf(&text, "  dropped %.2g of", math.Sqrt(bond.Discarded))
		const shown = 4
		for i, value := range bond.Spectrum {
			if i == shown {
				text.WriteString(" …")
				break
			}
			fmt.Fprintf(&text, " %.2g", value)
		}
	}
	return text.String()
}
