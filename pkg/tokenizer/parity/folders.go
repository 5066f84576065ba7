package main

import (
	"encoding/json"
	"io"

	"github.com/metatt/metatt/pkg/tokenizer"
)

// result is what one folder's tokenizer makes of the texts at the lengths: ids and type ids for each.
type result struct {
	Error string       `json:"error,omitempty"`
	Notes []string     `json:"notes,omitempty"`
	Rows  [][2][]int32 `json:"rows,omitempty"`
}

func encodeFolders(in io.Reader, out io.Writer) error {
	var request struct {
		Folders []string   `json:"folders"`
		Lengths []int      `json:"lengths"`
		Texts   [][]string `json:"texts"`
	}
	if err := json.NewDecoder(in).Decode(&request); err != nil {
		return err
	}
	results := json.NewEncoder(out)
	for _, folder := range request.Folders {
		if err := results.Encode(encodeFolder(folder, request.Lengths, request.Texts)); err != nil {
			return err
		}
	}
	return nil
}

func encodeFolder(folder string, lengths []int, texts [][]string) (r result) {
	t, err := tokenizer.Load(folder)
	if err != nil {
		return result{Error: err.Error()}
	}
	r.Notes = t.Notes()
	for _, length := range lengths {
		for _, text := range texts {
			in := tokenizer.Input{Text: text[0], HasPair: len(text) == 2}
			if in.HasPair {
				in.Pair = text[1]
			}
			e, err := t.Encode(in, length)
			if err != nil {
				return result{Error: err.Error()}
			}
			r.Rows = append(r.Rows, [2][]int32{e.IDs, e.TypeIDs})
		}
	}
	return r
}
