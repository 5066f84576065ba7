package tokenizer

import "slices"

// postProcessor places the special tokens around one text or a pair.
type postProcessor struct {
	single, pair template
}

// template is the order of an encoding's pieces.
type template struct {
	pieces []piece
	added  int // special tokens in it
}

// piece is a text (sequence 0 or 1) or, where sequence is negative, special tokens.
type piece struct {
	sequence int
	ids      []int32
	typeID   int32
}

const specialTokens = -1

func newTemplate(pieces ...piece) template {
	t := template{pieces: pieces}
	for _, p := range pieces {
		t.added += len(p.ids)
	}
	return t
}

// apply returns the encoding of one text (second is empty) or two.
func (t template) apply(first, second []int32) Encoding {
	n := t.added + len(first) + len(second)
	buf := make([]int32, 2*n)
	ids, types := buf[:0:n], buf[n:n]
	for _, p := range t.pieces {
		from := p.ids
		switch p.sequence {
		case 0:
			from = first
		case 1:
			from = second
		}
		ids = append(ids, from...)
		for range from {
			types = append(types, p.typeID)
		}
	}
	return Encoding{IDs: ids, TypeIDs: types}
}

func (p postProcessor) maxID() int {
	largest := int32(-1)
	for _, t := range []template{p.single, p.pair} {
		for _, piece := range t.pieces {
			for _, id := range piece.ids {
				largest = max(largest, id)
			}
		}
	}
	return int(largest)
}

// bertProcessing is [CLS] A [SEP] and [CLS] A [SEP] B [SEP], the second text of type 1.
func bertProcessing(cls, sep int32) postProcessor {
	a, b := piece{sequence: 0}, piece{sequence: 1, typeID: 1}
	return postProcessor{
		single: newTemplate(special(cls, 0), a, special(sep, 0)),
		pair:   newTemplate(special(cls, 0), a, special(sep, 0), b, special(sep, 1)),
	}
}

// robertaProcessing is <s> A </s> and <s> A </s></s> B </s>, all of type 0.
func robertaProcessing(cls, sep int32) postProcessor {
	a, b := piece{sequence: 0}, piece{sequence: 1}
	return postProcessor{
		single: newTemplate(special(cls, 0), a, special(sep, 0)),
		pair:   newTemplate(special(cls, 0), a, special(sep, 0), special(sep, 0), b, special(sep, 0)),
	}
}

// withoutTypes is the same with all of type 0.
func (p postProcessor) withoutTypes() postProcessor {
	for _, t := range []*template{&p.single, &p.pair} {
		t.pieces = slices.Clone(t.pieces)
		for i := range t.pieces {
			t.pieces[i].typeID = 0
		}
	}
	return p
}

// noProcessing adds nothing; the second text is of type 1.
func noProcessing() postProcessor {
	a, b := piece{sequence: 0}, piece{sequence: 1, typeID: 1}
	return postProcessor{single: newTemplate(a), pair: newTemplate(a, b)}
}

func special(id, typeID int32) piece {
	return piece{sequence: specialTokens, ids: []int32{id}, typeID: typeID}
}
