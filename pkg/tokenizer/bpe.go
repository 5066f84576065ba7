package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"

	sugarme "github.com/sugarme/tokenizer"
)

// bpe is byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909): a word starts as its characters, and the pair of
// neighbours that was learned first is merged until no learned pair is left, equal pairs from the left.
type bpe struct {
	vocabulary
	merges       map[pair]merge
	unk          string // empty: characters outside the vocabulary vanish
	fuseUnk      bool   // neighbouring unknown characters are one token
	ignoreMerges bool   // a word in the vocabulary is not taken apart
}

type pair struct{ left, right int32 }

type merge struct{ rank, id int32 }

var _ sugarme.Model = (*bpe)(nil)

// newBPE has room for so many merges, which are yet to be learned.
func newBPE(v vocabulary, merges int, unk string, fuseUnk, ignoreMerges bool) (*bpe, error) {
	if _, ok := v[unk]; unk != "" && !ok {
		return nil, fmt.Errorf("unk_token: %q is not in the vocabulary", unk)
	}
	return &bpe{vocabulary: v, merges: make(map[pair]merge, merges), unk: unk, fuseUnk: fuseUnk, ignoreMerges: ignoreMerges}, nil
}

// learn adds a merge; those with lower ranks come first.
func (m *bpe) learn(rank int, left, right string) error {
	var ids [3]int32
	for i, token := range [...]string{left, right, left + right} {
		id, ok := m.vocabulary[token]
		if !ok {
			return fmt.Errorf("%q is not in the vocabulary", token)
		}
		ids[i] = int32(id)
	}
	m.merges[pair{ids[0], ids[1]}] = merge{int32(rank), ids[2]}
	return nil
}

// symbol is a part of a word, linked to its neighbours by index. A part that was merged into its left one has length 0.
type symbol struct {
	id         int32
	length     int
	prev, next int // -1 at the ends
	unknown    bool
}

// Tokenize returns the parts of one word. Offsets are bytes of the word without the
// characters that vanish.
func (m *bpe) Tokenize(word string) ([]sugarme.Token, error) {
	if id, ok := m.vocabulary[word]; ok && m.ignoreMerges {
		return []sugarme.Token{{Id: id, Value: word, Offsets: []int{0, len(word)}}}, nil
	}
	symbols, kept := m.symbols(word)
	m.mergeAll(symbols)
	var tokens []sugarme.Token
	start := 0
	for _, s := range symbols {
		if s.length > 0 {
			token := sugarme.Token{Id: int(s.id), Value: kept[start : start+s.length], Offsets: []int{start, start + s.length}}
			if s.unknown {
				token.Value = m.unk
			}
			tokens = append(tokens, token)
			start += s.length
		}
	}
	return tokens, nil
}

// symbols returns the characters of a word, and the word without those that vanish.
func (m *bpe) symbols(word string) (symbols []symbol, kept string) {
	symbols = make([]symbol, 0, utf8.RuneCountInString(word))
	var text strings.Builder
	text.Grow(len(word))
	afterUnknown := false
	for i, r := range word {
		size := utf8.RuneLen(r)
		id, known := m.vocabulary[word[i:i+size]]
		switch {
		case known:
		case m.unk == "":
			continue
		case m.fuseUnk && afterUnknown:
			text.WriteString(word[i : i+size])
			symbols[len(symbols)-1].length += size
			continue
		default:
			id = m.vocabulary[m.unk]
		}
		text.WriteString(word[i : i+size])
		afterUnknown = !known
		symbols = append(symbols, symbol{id: int32(id), length: size, prev: len(symbols) - 1, next: len(symbols) + 1, unknown: !known})
	}
	if len(symbols) > 0 {
		symbols[len(symbols)-1].next = -1
	}
	return symbols, text.String()
}

func (m *bpe) mergeAll(symbols []symbol) {
	var queue mergeQueue
	propose := func(at int) {
		if at < 0 || symbols[at].next < 0 {
			return
		}
		if found, ok := m.merges[pair{symbols[at].id, symbols[symbols[at].next].id}]; ok {
			queue.push(candidate{found.rank, found.id, at})
		}
	}
	for i := range symbols {
		propose(i)
	}
	for len(queue) > 0 {
		top := queue.pop()
		left := &symbols[top.at]
		if left.length == 0 || left.next < 0 {
			continue
		}
		right := &symbols[left.next]
		// One of the two may have been merged since.
		now, ok := m.merges[pair{left.id, right.id}]
		if !ok || now.id != top.id {
			continue
		}
		left.id = now.id
		left.length += right.length
		right.length = 0
		left.next = right.next
		if left.next >= 0 {
			symbols[left.next].prev = top.at
		}
		propose(left.prev)
		propose(top.at)
	}
}

// candidate is a merge of the symbol at an index with the next one.
type candidate struct {
	rank, id int32
	at       int
}

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.at < d.at
}

// mergeQueue is a binary heap, the lowest rank first and then the leftmost.
type mergeQueue []candidate

func (q *mergeQueue) push(c candidate) {
	*q = append(*q, c)
	heap := *q
	for i := len(heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !heap[i].before(heap[parent]) {
			break
		}
		heap[i], heap[parent] = heap[parent], heap[i]
		i = parent
	}
}

func (q *mergeQueue) pop() candidate {
	heap := *q
	top := heap[0]
	last := len(heap) - 1
	heap[0] = heap[last]
	heap = heap[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(heap); child++ {
			if heap[child].before(heap[least]) {
				least = child
			}
		}
		if least == i {
			break
		}
		heap[i], heap[least] = heap[least], heap[i]
		i = least
	}
	*q = heap
	return top
}
