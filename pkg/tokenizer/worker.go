package tokenizer

import "strings"

// A cache of words makes up most of the speed: a data set's words repeat. Long words do not, and the bounds keep a worker's
// memory at a few megabytes.
const (
	maxCachedWords   = 1 << 16
	maxCachedWordLen = 64
)

// worker is what one goroutine needs to encode: a cache of words and a buffer.
type worker struct {
	words map[string]span
	known []int32 // the ids of all cached words, end to end
	ids   []int32 // the ids of the input under way
}

type span struct{ start, end int32 }

func newWorker() *worker { return &worker{words: make(map[string]span)} }

func (w *worker) lookup(word string) (ids []int32, ok bool) {
	s, ok := w.words[word]
	return w.known[s.start:s.end], ok
}

func (w *worker) remember(word string, ids []int32) {
	if len(word) > maxCachedWordLen {
		return
	}
	if len(w.words) == maxCachedWords { // start anew: the words in use come back soon
		clear(w.words)
		w.known = w.known[:0]
	}
	start := len(w.known)
	w.known = append(w.known, ids...)
	// A clone, because the word is a piece of a text that would otherwise stay in memory with it.
	w.words[strings.Clone(word)] = span{int32(start), int32(len(w.known))}
}
