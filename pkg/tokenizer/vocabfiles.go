package tokenizer

import (
	"fmt"
	"iter"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// vocabTxt is BERT's vocabulary, a token a line.
func vocabTxt(content string) vocabulary {
	v := make(vocabulary, linesAtMost(content))
	for i, line := range lines(content) {
		v[strings.TrimRightFunc(line, unicode.IsSpace)] = i
	}
	return v
}

// vocabJSON is RoBERTa's vocabulary, with merges.txt.
func (f files) vocabJSON(content string) (*bpe, error) {
	// Wrapped, because the whole file is the map.
	o := &object{fields: map[string]jsontext.Value{"": []byte(content)}}
	v := o.vocabulary("")
	if o.err != nil {
		return nil, f.named("vocab.json", o.err)
	}
	merges, err := f.read("merges.txt")
	if err != nil {
		return nil, err
	}
	model, err := newBPE(v, linesAtMost(merges), "", false, false)
	if err != nil {
		return nil, f.named("vocab.json", err)
	}
	if at, err := model.learnLines(merges); err != nil {
		return nil, f.named(fmt.Sprintf("merges.txt:%d", at+1), err)
	}
	return model, nil
}

// lines splits a file at line feeds, without carriage returns in front of them.
func lines(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		i := 0
		for line := range strings.Lines(text) {
			if text, ended := strings.CutSuffix(line, "\n"); ended {
				line = strings.TrimSuffix(text, "\r")
			}
			if !yield(i, line) {
				return
			}
			i++
		}
	}
}

// linesAtMost bounds how many different lines a file has. Of those shorter than three letters there are too few to
// matter, so that a file of line ends claims nothing.
func linesAtMost(text string) int { return min(strings.Count(text, "\n")+1, len(text)/4) }

// learnLines reads merges.txt: lines "left right", and a header "#version". With an error it returns the line's index.
func (m *bpe) learnLines(text string) (at int, err error) {
	rank := 0
	for i, line := range lines(text) {
		if isVersion(line) {
			continue
		}
		left, right, ok := twoTokens(line)
		if !ok {
			return i, fmt.Errorf("%.40q is not two tokens", line)
		}
		if err := m.learn(rank, left, right); err != nil {
			return i, err
		}
		rank++
	}
	return 0, nil
}

// isVersion says whether a line is the header of merges.txt, which old tokenizer.json files hold, too.
func isVersion(line string) bool { return strings.HasPrefix(line, "#version") }

func twoTokens(line string) (left, right string, ok bool) {
	left, right, ok = strings.Cut(line, " ")
	return left, right, ok && !strings.Contains(right, " ")
}
