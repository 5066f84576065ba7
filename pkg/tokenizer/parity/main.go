// Command parity encodes every row of TSV files and writes what compare.py compares with Hugging Face's tokenizers.
//
//	parity TOKENIZER OUTPUT FILE...
//
// A row is encoded twice: the line as one text, and its two longest tab-separated columns as a pair. A file whose name
// ends in .texts holds texts that may have line ends, each after its length as a little-endian int32. OUTPUT gets, for
// each input and at each maximum length, the number of ids, the ids and the type ids as little-endian int32. The time
// that encoding took on one thread, and then on all cores, is printed in seconds.
//
//	parity -options
//
// reads folders, texts and lengths from its input, and prints what the tokenizer of each folder makes of them, or its error,
// a JSON object a line: what options.py compares.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/metatt/metatt/pkg/textenc"
	"github.com/metatt/metatt/pkg/tokenizer"
)

// maxLengths are those that compare.py asks for.
var maxLengths = []int{32, 128, 512}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "-options" {
		if err := encodeFolders(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "parity:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: parity TOKENIZER OUTPUT FILE...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "parity:", err)
		os.Exit(1)
	}
}

func run(tokenizerDir, output string, paths []string) error {
	t, err := tokenizer.Load(tokenizerDir)
	if err != nil {
		return err
	}
	var inputs []tokenizer.Input
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".texts") {
			inputs, err = appendTexts(inputs, data)
		} else {
			inputs = append(inputs, rows(data)...)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	for _, maxLength := range maxLengths {
		start := time.Now()
		encodings := make([]tokenizer.Encoding, len(inputs))
		for i, in := range inputs {
			if encodings[i], err = t.Encode(in, maxLength); err != nil {
				return err
			}
		}
		oneThread := time.Since(start)
		for _, e := range encodings {
			binary.Write(w, binary.LittleEndian, int32(len(e.IDs)))
			binary.Write(w, binary.LittleEndian, e.IDs)
			binary.Write(w, binary.LittleEndian, e.TypeIDs)
		}
		start = time.Now()
		if _, err := t.EncodeAll(context.Background(), inputs, maxLength); err != nil {
			return err
		}
		fmt.Println(oneThread.Seconds(), time.Since(start).Seconds())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return file.Close()
}

// appendTexts reads texts that stand after their lengths.
func appendTexts(inputs []tokenizer.Input, data []byte) ([]tokenizer.Input, error) {
	for len(data) > 0 {
		if len(data) < 4 || int64(binary.LittleEndian.Uint32(data)) > int64(len(data)-4) {
			return nil, errors.New("a text ends early")
		}
		end := 4 + int(binary.LittleEndian.Uint32(data))
		inputs = append(inputs, tokenizer.Input{Text: textenc.DecodeUTF8(data[4:end])})
		data = data[end:]
	}
	return inputs, nil
}

// rows splits a file as the GLUE readers do: at line feeds only, one trailing carriage return dropped.
func rows(data []byte) []tokenizer.Input {
	var inputs []tokenizer.Input
	for line := range bytes.Lines(data) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		inputs = append(inputs, tokenizer.Input{Text: textenc.DecodeUTF8(line)})
		if columns := bytes.Split(line, []byte("\t")); len(columns) > 1 {
			a, b := longestTwo(columns)
			inputs = append(inputs, tokenizer.Input{Text: textenc.DecodeUTF8(a), Pair: textenc.DecodeUTF8(b), HasPair: true})
		}
	}
	return inputs
}

// longestTwo returns the two longest columns, the longer first and of equals the left.
func longestTwo(columns [][]byte) (a, b []byte) {
	slices.SortStableFunc(columns, func(a, b []byte) int { return len(b) - len(a) })
	return columns[0], columns[1]
}
