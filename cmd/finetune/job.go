package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/train"
)

// job is the processes that a launcher has started to make one run.
type job interface {
	parallel.Group
	Leave() error
	Abort(code int) error
}

func join(env func(string) (string, bool), output io.Writer) (job, error) {
	world, err := parallel.Join(env, output)
	if world == nil || err != nil {
		return nil, err // and not an interface that holds a nil
	}
	return world, nil
}

// joinJob joins the job that a launcher has started, if one has.
func (p *program) joinJob() (err error) {
	if p.backend.join != nil {
		p.job, err = p.backend.join(p.env, p.stderr)
	}
	return err
}

// leads: this process is the one of its job that talks.
func (p *program) leads() bool { return p.job == nil || p.job.Rank() == 0 }

// endingTime is how long processes of a job leave it to the first to say an error that all may
// have, and to end them.
const endingTime = 2 * time.Second

// leave ends what went well, which is to be so in all processes of a job alike, and is the
// error of what did not.
func (p *program) leave(err error) error {
	switch {
	case p.job == nil:
		return err
	case err == nil || errors.Is(err, train.ErrInterrupted):
		if failed := p.job.Leave(); failed != nil {
			return failed
		}
		p.job = nil
		return err
	case !p.leads():
		time.Sleep(endingTime)
		return fmt.Errorf("rank %d of %d: %w", p.job.Rank(), p.job.Size(), err)
	}
	return err
}

// end ends all processes of a job that was not left.
func (p *program) end(err error, code int) {
	if p.job != nil && err != nil {
		_ = p.job.Abort(code) // it does not return
	}
}

// silentView is that of a process that does not lead.
type silentView struct{ train.Silent }

func (silentView) close() {}
