package run

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/metatt/metatt/pkg/config"
	"github.com/metatt/metatt/pkg/data"
	"github.com/metatt/metatt/pkg/hf"
	"github.com/metatt/metatt/pkg/models/encoder"
	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tokenizer"
	"github.com/metatt/metatt/pkg/train"
)

// loadData reads and encodes the run's splits, but for those that the session has.
func (a *assembly) loadData(ctx context.Context) error {
	tokens, err := a.loadTokenizer()
	if err != nil {
		return err
	}
	splits := []*split{
		{name: "train", read: func(note func(string)) ([]task.Example, error) { return a.readTraining(a.config, note) }},
		{name: "dev", read: a.readDev},
	}
	// All are read before one is encoded: what is wrong with a file shows at once.
	for _, s := range splits {
		s.key = setKey{s.name, a.source.key(a.config), tokens.Sum(), a.config.Data.MaxLength}
		if err := s.find(a.session.sets, a.observer.Note); err != nil {
			return err
		}
	}
	if a.files["data.test"] != "" { // to tell now what would be found wrong after training
		if _, err := a.readFile("data.test"); err != nil {
			return err
		}
	}
	for _, s := range splits {
		if s.set == nil {
			if s.set, err = a.encode(ctx, tokens, s.examples); err != nil {
				return err
			}
		}
		if err := a.checkEncoded(s.name, s.set); err != nil {
			return err
		}
		a.session.keepSet(s.key, s.keptSet)
	}
	a.trainSet, a.devSet = splits[0].set, splits[1].set
	return nil
}

// split is one of the task's sets on its way.
type split struct {
	name string
	read func(note func(string)) ([]task.Example, error)
	key  setKey
	keptSet
	examples []task.Example // where the set is still to be encoded
}

// find takes what is kept of the split, or reads its examples; note is told what is
// left out of them, once or again.
func (s *split) find(kept map[setKey]keptSet, note func(string)) (err error) {
	var have bool
	if s.keptSet, have = kept[s.key]; have {
		for _, text := range s.notes {
			note(text)
		}
		return nil
	}
	s.examples, err = s.read(func(text string) {
		s.notes = append(s.notes, text)
		note(text)
	})
	return err
}

// loadTokenizer reads the model's tokenizer, which must fit model and configuration.
func (a *assembly) loadTokenizer() (*tokenizer.Tokenizer, error) {
	tokens, err := tokenizer.Load(a.modelDir)
	if err != nil {
		return nil, err
	}
	for _, note := range tokens.Notes() {
		a.observer.Note(note)
	}
	if have, most := tokens.VocabSize(), a.model.Config().VocabSize; have > most {
		return nil, fmt.Errorf("%s: the tokenizer makes ids up to %d, the model's vocabulary has %d", a.modelDir, have-1, most)
	}
	if longest, most := a.config.Data.MaxLength, a.model.MaxLength(); longest > most {
		return nil, config.Invalid("data.max_length", fmt.Errorf("%d: the model has %d positions", longest, most))
	}
	return tokens, nil
}

// encodedLimit bounds the cache of encoded sets: full GLUE takes a tenth of it.
const encodedLimit = 4 << 30

func (a *assembly) encode(ctx context.Context, tokens *tokenizer.Tokenizer, examples []task.Example) (*data.Set, error) {
	var cache data.Cache
	if a.config.Data.Cache {
		cache = data.Cache{Dir: filepath.Join(hf.Home(), "encoded"), Limit: encodedLimit}
	}
	set, err := cache.Encode(ctx, tokens, a.task, examples, a.config.Data.MaxLength)
	if err != nil && ctx.Err() != nil {
		err = train.ErrInterrupted // nothing has begun: nothing to save
	}
	return set, err
}

// checkEncoded finds, before anything is written, what of a set the model cannot
// take: more token types than it has, say, as a tokenizer makes of pairs.
func (a *assembly) checkEncoded(name string, set *data.Set) error {
	err := set.Check(func(ids, typeIDs []int32) error {
		return a.model.Check(encoder.Input{IDs: ids, TypeIDs: typeIDs, Offsets: []int32{0, int32(len(ids))}})
	})
	if err != nil {
		return fmt.Errorf("%s does not take the %s set of %s: %w", a.modelDir, name, a.task.Name, err)
	}
	return nil
}
