package run

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/models"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/parallel"
	"github.com/metatt/metatt/pkg/torch"
)

// Session is a process that trains runs one after the other. It keeps what they
// share: backbones, which no run changes, and encoded sets. Each run is what it
// would be alone, as long as the files that it reads stay what they were when the
// session read them. The zero Session keeps nothing.
//
// A session is its goroutine's, which stays on one OS thread from [NewSession] to
// [Session.Close]: libgomp has a team of threads for each that computes, and the
// allocator memory that it keeps for each.
type Session struct {
	backbones map[backboneKey]*encoder.Backbone // nil: nothing is kept
	sets      map[setKey]keptSet                // nil: nothing is kept
}

// backboneKey is what decides a backbone's tensors.
type backboneKey struct {
	dir    string // of the model, absolute
	dtype  torch.DType
	device torch.Device
}

// setKey is what decides an encoded set.
type setKey struct {
	split, source string
	tokenizer     string // its sum
	maxLength     int
	limit, seed   int // of what is drawn from it
}

// keptSet is an encoded set, and what is to be said of it.
type keptSet struct {
	set   *data.Set
	notes []string
}

// NewSession makes one that keeps. The caller closes it, in the same goroutine.
func NewSession() *Session {
	runtime.LockOSThread()
	return &Session{map[backboneKey]*encoder.Backbone{}, map[setKey]keptSet{}}
}

// Close frees what the session keeps.
func (s *Session) Close() {
	for _, b := range s.backbones {
		b.Free()
	}
	clear(s.backbones)
	clear(s.sets)
	if s.backbones != nil {
		runtime.UnlockOSThread()
		s.backbones, s.sets = nil, nil // closed once more, it is closed already
	}
}

// Train is [Session.Train] in a session of one run.
func Train(ctx context.Context, o Options) (*Summary, error) { return new(Session).Train(ctx, o) }

// Train makes a new run directory and trains. Cancelling ctx saves the state
// and returns the summary so far with [train.ErrInterrupted].
func (s *Session) Train(ctx context.Context, o Options) (*Summary, error) {
	a, err := s.assemble(ctx, o, nil)
	if err != nil {
		return nil, err
	}
	defer a.free()
	dir, err := parallel.Once(a.group, "the run directory", func() ([]byte, error) {
		dir, err := makeRunDir(a.config, a.rankName())
		if err != nil {
			return nil, err
		}
		if err := a.record(ctx, dir, o); err != nil {
			return nil, fmt.Errorf("run directory: %w", err)
		}
		return []byte(dir), nil
	})
	if err != nil {
		return nil, err
	}
	return a.train(ctx, string(dir), nil)
}

// model puts a head behind the backbone of the model in a folder. Where nothing is
// kept the backbone is the model's own, so that a method that trains it needs no
// copy.
func (s *Session) model(dir string, dtype torch.DType, device torch.Device, head encoder.HeadOptions) (*encoder.Model, error) {
	if s.backbones == nil {
		return models.Load(dir, encoder.Options{
			Labels: head.Labels, DType: dtype, Device: device, Seed: head.Seed, TrainPooler: head.TrainPooler,
		})
	}
	b, err := s.backbone(dir, dtype, device)
	if err != nil {
		return nil, err
	}
	made, err := b.NewHead(head)
	if err != nil {
		return nil, err
	}
	return encoder.NewModel(b, made), nil
}

// backbone is the one that is kept, or loads it.
func (s *Session) backbone(dir string, dtype torch.DType, device torch.Device) (*encoder.Backbone, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	key := backboneKey{dir, dtype, device}
	if b, kept := s.backbones[key]; kept {
		return b, nil
	}
	b, err := models.LoadBackbone(dir, dtype, device)
	if err == nil {
		s.backbones[key] = b
	}
	return b, err
}

func (s *Session) keepSet(key setKey, set keptSet) {
	if s.sets != nil {
		s.sets[key] = set
	}
}
