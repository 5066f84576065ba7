package fileformat

import "testing"

func TestErrors(t *testing.T) {
	for want, err := range map[string]error{
		"a.tsv: the file is empty":               &Error{Path: "a.tsv", Problem: "the file is empty"},
		"a.tsv:3: 1 columns, want 2":             &Error{Path: "a.tsv", Line: 3, Problem: "1 columns, want 2"},
		"c.json: eps: is 0, want more":           &Error{Path: "c.json", Key: "eps", Problem: "is 0, want more"},
		"w.bin: unsupported: F4":                 &UnsupportedError{Path: "w.bin", Problem: "F4"},
		"c.json: hidden_act: unsupported: swish": &UnsupportedError{Path: "c.json", Key: "hidden_act", Problem: "swish"},
	} {
		if err.Error() != want {
			t.Errorf("%s, want %s", err, want)
		}
	}
}
