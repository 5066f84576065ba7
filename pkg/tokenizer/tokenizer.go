// Package tokenizer turns text into the token ids of BERT and RoBERTa checkpoints, equal to those of Hugging Face's
// tokenizers library.
//
// The pipeline is Hugging Face's: added tokens are cut out of the text, the rest is normalized and split into words, a
// model (WordPiece or byte-level BPE) turns each word into ids, sequences are truncated longest first, and a template
// places the special tokens. Models implement the Model interface of github.com/sugarme/tokenizer; that library's other
// stages carry character alignments through every step, which ids do not need.
package tokenizer

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	sugarme "github.com/sugarme/tokenizer"

	"github.com/metatt/metatt/pkg/textenc"
)

// Input is one text, or a pair of texts when HasPair is set. Text that is not valid UTF-8 is read as [textenc.DecodeUTF8] does.
type Input struct {
	Text, Pair string
	HasPair    bool
}

// Encoding holds the ids of one input, special tokens included, and for each id its token type. It is never padded.
type Encoding struct {
	IDs, TypeIDs []int32
	Cut          bool // there were more
}

// textEncoder is what differs between BERT and RoBERTa: how text becomes words, and which model the words go through.
type textEncoder interface {
	// appendText appends the ids of text that no added token occurs in.
	appendText(ids []int32, text string, w *worker) ([]int32, error)
	// normalize returns text in the form that normalized added tokens are matched against.
	normalize(text string) string
	// appendNormalized is appendText for text that normalize returned.
	appendNormalized(ids []int32, text string, w *worker) ([]int32, error)
}

// Tokenizer encodes text. It is safe for concurrent use.
type Tokenizer struct {
	model   sugarme.Model
	encoder textEncoder
	added   addedVocabulary
	post    postProcessor
	maxID   int
	sum     string
	notes   []string
	// truncateLeft takes what is too much from the start of a text.
	truncateLeft bool
	workers      sync.Pool // of *worker: each goroutine has its own cache of words, without locks
}

// newTokenizer puts the stages together.
func newTokenizer(model sugarme.Model, encoder textEncoder, added addedVocabulary, post postProcessor) *Tokenizer {
	t := &Tokenizer{model: model, encoder: encoder, added: added, post: post, maxID: post.maxID()}
	t.workers.New = func() any { return newWorker() }
	for _, id := range model.GetVocab() {
		t.maxID = max(t.maxID, id)
	}
	for id := range added.byID {
		t.maxID = max(t.maxID, id)
	}
	return t
}

// VocabSize returns one more than the largest id that the tokenizer can produce: the rows an embedding table needs.
func (t *Tokenizer) VocabSize() int { return t.maxID + 1 }

// Sum returns a digest of the files that the tokenizer was loaded from. Equal sums give equal ids.
func (t *Tokenizer) Sum() string { return t.sum }

// Notes returns what a user has to see about the files, a line each: a default that decides ids and that no file states, and
// what stands in them and is not used.
func (t *Tokenizer) Notes() []string { return t.notes }

// Encode returns the ids of one input. At most maxLength ids are kept, special tokens included: a token at a time is
// taken from the end (the start, where truncation_side is left) of the longer text of a pair, as Hugging Face's
// "longest_first" does.
func (t *Tokenizer) Encode(in Input, maxLength int) (Encoding, error) {
	w := t.workers.Get().(*worker)
	defer t.workers.Put(w)
	return t.encode(in, maxLength, w)
}

func (t *Tokenizer) encode(in Input, maxLength int, w *worker) (Encoding, error) {
	template := t.post.single
	if in.HasPair {
		template = t.post.pair
	}
	if maxLength < template.added {
		return Encoding{}, fmt.Errorf("tokenizer: maximum length %d is too short for the %d special tokens", maxLength, template.added)
	}
	ids, err := t.appendIDs(w.ids[:0], in.Text, w)
	if err != nil {
		return Encoding{}, err
	}
	first := len(ids)
	if in.HasPair {
		if ids, err = t.appendIDs(ids, in.Pair, w); err != nil {
			return Encoding{}, err
		}
	}
	w.ids = ids
	keepFirst, keepSecond := truncateLongestFirst(first, len(ids)-first, maxLength-template.added)
	one, other := ids[:keepFirst], ids[first:first+keepSecond]
	if t.truncateLeft {
		one, other = ids[first-keepFirst:first], ids[len(ids)-keepSecond:]
	}
	encoding := template.apply(one, other)
	encoding.Cut = keepFirst+keepSecond < len(ids)
	return encoding, nil
}

// appendIDs appends the ids of one text, without special tokens of the template.
func (t *Tokenizer) appendIDs(ids []int32, text string, w *worker) ([]int32, error) {
	if !utf8.ValidString(text) {
		text = textenc.DecodeUTF8([]byte(text))
	}
	return t.added.raw.split(ids, text, func(ids []int32, gap string) ([]int32, error) {
		if t.added.normalized.count == 0 {
			return t.encoder.appendText(ids, gap, w)
		}
		return t.added.normalized.split(ids, t.encoder.normalize(gap), func(ids []int32, gap string) ([]int32, error) {
			return t.encoder.appendNormalized(ids, gap, w)
		})
	})
}

// truncateLongestFirst returns how many of n1 and n2 tokens stay when at most room do. When both are cut, they end
// equal, and the one that was longer (the second of equals) gets the odd token.
func truncateLongestFirst(n1, n2, room int) (int, int) {
	if n1+n2 <= room {
		return n1, n2
	}
	short := min(n1, n2)
	long := room - short
	if long < short {
		short = room / 2
		long = room - short
	}
	if n1 > n2 {
		return long, short
	}
	return short, long
}

// rowsPerTask is small enough to spread a short data set over all cores and large enough to make the counter free.
const rowsPerTask = 64

// EncodeAll encodes a data set on all cores. The first row that fails, or the end of ctx, ends it.
func (t *Tokenizer) EncodeAll(ctx context.Context, in []Input, maxLength int) ([]Encoding, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := make([]Encoding, len(in))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (len(in)+rowsPerTask-1)/rowsPerTask) {
		wg.Go(func() {
			w := t.workers.Get().(*worker)
			defer t.workers.Put(w)
			for ctx.Err() == nil {
				end := int(next.Add(rowsPerTask))
				for i := end - rowsPerTask; i < min(end, len(in)); i++ {
					encoding, err := t.encode(in[i], maxLength, w)
					if err != nil {
						cancel(fmt.Errorf("row %d: %w", i, err))
						return
					}
					out[i] = encoding
				}
				if end >= len(in) {
					return
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return out, nil
}
