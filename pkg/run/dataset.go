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

// loadData reads and encodes the tasks' splits, but for those that the session has.
func (a *assembly) loadData(ctx context.Context) error {
	tokens, err := a.loadTokenizer()
	if err != nil {
		return err
	}
	var splits []*split
	for i, t := range a.tasks {
		training := &split{learned: t, name: "train", into: &t.train, read: func(note func(string)) ([]task.Example, error) { return t.readTraining(a.config, note) }}
		dev := &split{learned: t, name: "dev", into: &t.dev, read: t.readDev}
		for _, s := range []*split{training, dev} {
			s.limit, s.seed = a.config.Drawn(a.config.Tasks[i], s == training)
		}
		splits = append(splits, training, dev)
	}
	// All are read before one is encoded: what is wrong with a file shows at once.
	for _, s := range splits {
		s.key = setKey{split: s.name, source: s.source.key(a.config), tokenizer: tokens.Sum(), maxLength: a.config.Data.MaxLength}
		if s.limit > 0 {
			s.key.limit, s.key.seed = s.limit, s.seed
		}
		if err := s.find(a.session.sets, a.observer.Note); err != nil {
			return err
		}
	}
	for _, t := range a.tasks {
		if t.files["data.test"] != "" { // to tell now what would be found wrong after training
			if _, err := t.readFile("data.test"); err != nil {
				return err
			}
		}
	}
	for _, s := range splits {
		if s.set == nil {
			if s.set, err = a.encode(ctx, tokens, s.task, s.examples); err != nil {
				return err
			}
		}
		if err := a.checkEncoded(s); err != nil {
			return err
		}
		if n := s.set.Cut(); n > 0 {
			a.observer.Note(fmt.Sprintf("%s: %d of %d examples of %s are longer than %d tokens, and are cut (data.max_length)", s.task.Name, n, s.set.Len(), s.name, a.config.Data.MaxLength))
		}
		a.session.keepSet(s.key, s.keptSet)
		*s.into = s.set
	}
	return nil
}

// split is one of a task's sets on its way.
type split struct {
	*learned
	name        string
	limit, seed int // examples, 0 being all, and what draws them
	into        **data.Set
	read        func(note func(string)) ([]task.Example, error)
	key         setKey
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
	say := func(text string) {
		s.notes = append(s.notes, text)
		note(text)
	}
	all, err := s.read(say)
	if err != nil {
		return err
	}
	if s.examples = task.Draw(all, s.limit, uint64(s.seed), s.name); len(s.examples) < len(all) {
		say(fmt.Sprintf("%s: %d of %d examples of %s, drawn by seed %d", s.task.Name, len(s.examples), len(all), s.name, s.seed))
	}
	return nil
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
	if have, most := tokens.VocabSize(), a.first().Config().VocabSize; have > most {
		return nil, fmt.Errorf("%s: the tokenizer makes ids up to %d, the model's vocabulary has %d", a.modelDir, have-1, most)
	}
	if longest, most := a.config.Data.MaxLength, a.first().MaxLength(); longest > most {
		return nil, config.Invalid("data.max_length", fmt.Errorf("%d: the model has %d positions", longest, most))
	}
	return tokens, nil
}

// encodedLimit bounds the cache of encoded sets: full GLUE takes a tenth of it.
const encodedLimit = 4 << 30

func (a *assembly) encode(ctx context.Context, tokens *tokenizer.Tokenizer, t task.Task, examples []task.Example) (*data.Set, error) {
	var cache data.Cache
	if a.config.Data.Cache {
		cache = data.Cache{Dir: filepath.Join(hf.Home(), "encoded"), Limit: encodedLimit}
	}
	set, err := cache.Encode(ctx, tokens, t, examples, a.config.Data.MaxLength)
	if err != nil && ctx.Err() != nil {
		err = train.ErrInterrupted // nothing has begun: nothing to save
	}
	return set, err
}

// checkEncoded finds, before anything is written, what of a set the model cannot
// take: more token types than it has, say, as a tokenizer makes of pairs.
func (a *assembly) checkEncoded(s *split) error {
	err := s.set.Check(func(ids, typeIDs []int32) error {
		return a.first().Check(encoder.Input{IDs: ids, TypeIDs: typeIDs, Offsets: []int32{0, int32(len(ids))}})
	})
	if err != nil {
		return fmt.Errorf("%s does not take the %s set of %s: %w", a.modelDir, s.name, s.task.Name, err)
	}
	return nil
}
