package textenc

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

// TestDecodeAsPython decodes every sequence of one to four of the bytes at which UTF-8's rules change;
// testdata/decode.py made the digest.
func TestDecodeAsPython(t *testing.T) {
	edges := []byte{
		0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2,
		0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
	}
	digest := sha256.New()
	var extend func(sequence []byte, missing int)
	extend = func(sequence []byte, missing int) {
		if missing == 0 {
			digest.Write([]byte(DecodeUTF8(sequence) + "\n"))
			return
		}
		for _, edge := range edges {
			extend(append(sequence, edge), missing-1)
		}
	}
	for length := 1; length <= 4; length++ {
		extend(make([]byte, 0, length), length)
	}
	const want = "d2c3961dfca20cba7777100010e8c0aa0a09c3dd9ca60c92c2a8c2e1a6359696"
	if got := hex.EncodeToString(digest.Sum(nil)); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// A sequence may be cut by the decoder's inner buffers, wherever they end.
func TestDecodeLongText(t *testing.T) {
	for _, c := range []struct{ part, want string }{
		{"\xf0\x9f\x98", "\ufffd"}, {"é\xff", "é\ufffd"}, {"\xf0\x9f\x98\x80\x80", "😀\ufffd"}, {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
	} {
		for shift := range 4 {
			a := strings.Repeat("a", shift)
			got := DecodeUTF8([]byte(a + strings.Repeat(c.part, 10_000)))
			if got != a+strings.Repeat(c.want, 10_000) {
				t.Errorf("%q after %d letters: %d bytes", c.part, shift, len(got))
			}
		}
	}
}
