package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/metatt/metatt/pkg/run"
	"github.com/metatt/metatt/pkg/train"
)

// fakeJob is one of two processes.
type fakeJob struct {
	rank   int
	events *[]string
}

func (j fakeJob) Rank() int                                     { return j.rank }
func (fakeJob) Size() int                                       { return 2 }
func (j fakeJob) Local() (rank, size int)                       { return j.rank, 2 }
func (fakeJob) Sum(string, []float32) error                     { return nil }
func (fakeJob) Broadcast(_ string, data []byte) ([]byte, error) { return data, nil }

func (j fakeJob) Leave() error {
	*j.events = append(*j.events, "left")
	return nil
}

func (j fakeJob) Abort(code int) error {
	*j.events = append(*j.events, "aborted", string(rune('0'+code%10)))
	return nil
}

// Of a job's processes the first talks; all leave what went well, and one that fails ends the
// others with its exit code.
func TestJob(t *testing.T) {
	file := writeConfig(t, t.TempDir(), "")
	trained := func(err error) func(context.Context, run.Options) (*run.Summary, error) {
		return func(_ context.Context, o run.Options) (*run.Summary, error) {
			if o.Group == nil || o.Group.Size() != 2 {
				t.Errorf("the run is of %v", o.Group)
			}
			return script(o.Observer), err
		}
	}
	for _, c := range []struct {
		err    error
		args   []string
		code   int
		events string
		says   [2]string // by rank, on standard error
	}{
		{nil, nil, exitDone, "left", [2]string{"step 6/6", ""}},
		{train.ErrInterrupted, nil, exitInterrupted, "left", [2]string{"step 6/6", ""}},
		{errors.New("step 3: no"), nil, exitFailure, "aborted 1", [2]string{"finetune: step 3: no\n", "finetune: rank 1 of 2: step 3: no\n"}},
		{nil, []string{"train.lrr=1"}, exitUsage, "aborted 2", [2]string{"train.lrr: unknown key", "train.lrr: unknown key"}},
	} {
		for rank := range 2 {
			var events []string
			b := backend{train: trained(c.err), join: func(func(string) (string, bool), io.Writer) (job, error) { return fakeJob{rank, &events}, nil }}
			got := command(t, t.Context(), b, 0, nil, append([]string{"train", "-c", file}, c.args...)...)
			if got.code != c.code || strings.Join(events, " ") != c.events {
				t.Errorf("%v, rank %d: exit code %d, %v", c.err, rank, got.code, events)
			}
			if want := c.says[rank]; !strings.Contains(got.stderr, want) || want == "" && got.stderr != "" {
				t.Errorf("%v, rank %d says %q", c.err, rank, got.stderr)
			}
			if talks := rank == 0 && c.events == "left"; (got.stdout != "") != talks {
				t.Errorf("%v, rank %d prints %q", c.err, rank, got.stdout)
			}
		}
	}
}

// A launcher whose processes cannot meet is an error before anything is read.
func TestJobThatCannotBeJoined(t *testing.T) {
	b := backend{join: func(func(string) (string, bool), io.Writer) (job, error) { return nil, errors.New("no MPI") }}
	got := command(t, t.Context(), b, 0, nil, "train", "-c", "missing.yaml")
	if got.code != exitFailure || got.stderr != "finetune: no MPI\n" || got.stdout != "" {
		t.Errorf("got %+v", got)
	}
}
