package tokenizer

import (
	"fmt"
	"testing"
)

// benchmarkTexts have words that repeat and, in each text, one that does not.
func benchmarkTexts() (texts []Input, bytes int64) {
	for i := range 1000 {
		text := fmt.Sprintf("The cat and the word sat in unaware space, %d times; hahaha, señor Nº%x!", i, i*i*i)
		texts = append(texts, Input{Text: text, Pair: "two cats, 2000 aaaa", HasPair: true})
		bytes += int64(len(text) + len(texts[i].Pair))
	}
	return texts, bytes
}

func BenchmarkEncode(b *testing.B) {
	for _, base := range []string{"wordpiece", "bytelevel"} {
		b.Run(base, func(b *testing.B) {
			tokenizer := mustParse(b, variant(b, base, nil))
			texts, bytes := benchmarkTexts()
			b.SetBytes(bytes / int64(len(texts)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := tokenizer.Encode(texts[i%len(texts)], 128); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
