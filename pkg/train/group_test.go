package train_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/train"
	"github.com/metatt/metatt/pkg/train/traintest"
)

// second is the second of two processes, of which the first has no examples: sums are its
// own. It is told the same, but for what differs at broadcast number differs.
type second struct{ broadcasts, differs int }

func (*second) Rank() int                   { return 1 }
func (*second) Size() int                   { return 2 }
func (*second) Local() (rank, size int)     { return 1, 2 }
func (*second) Sum(string, []float32) error { return nil }
func (s *second) Broadcast(_ string, data []byte) ([]byte, error) {
	data = slices.Clone(data)
	if s.broadcasts++; s.broadcasts == s.differs {
		data[len(data)-1] ^= 1
	}
	return data, nil
}

// A process whose parameters or moments are not the first one's ends the run, at its start or
// at a checkpoint; one that is not the first writes nothing.
func TestProcessesThatDiffer(t *testing.T) {
	for differs, want := range map[int]string{
		1: "step 0: parameters or moments of rank 1 are not those of rank 0",
		3: "step 6: parameters or moments of rank 1 are not those of rank 0",
		0: "",
	} {
		s := traintest.Setup(t, map[string]int{"cola": 23})
		s.Options.CheckpointEvery = 3
		s.Group = &second{differs: differs}
		_, err := train.Run(t.Context(), s)
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("broadcast %d differs: %v, want %q", differs, err, want)
		}
		if files, err := os.ReadDir(s.Dir); len(files) > 0 || err != nil {
			t.Errorf("the second process has written %v (%v)", files, err)
		}
	}
}
