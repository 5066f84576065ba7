package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
)

// Load reads the tokenizer of a Hugging Face model folder: tokenizer.json, or else vocab.txt (BERT) or vocab.json and
// merges.txt (RoBERTa), with tokenizer_config.json where there is one. Truncation and padding that are stored with it are
// ignored. Anything else in the files that changes ids and is not supported is an error that names the field.
func Load(dir string) (*Tokenizer, error) {
	f := files{dir: dir, digest: sha256.New()}
	t, err := f.load()
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t.sum = hex.EncodeToString(f.digest.Sum(nil))
	return t, nil
}

// files reads a folder's files and keeps a digest of what it read.
type files struct {
	dir    string
	digest hash.Hash
}

func (f files) load() (*Tokenizer, error) {
	if data, err := f.read("tokenizer.json"); err == nil {
		t, err := parseTokenizerJSON(data)
		return t, f.named("tokenizer.json", err)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if data, err := f.read("vocab.txt"); err == nil {
		return f.bert(data)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if data, err := f.read("vocab.json"); err == nil {
		return f.roberta(data)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return nil, fmt.Errorf("%s has none of tokenizer.json, vocab.txt and vocab.json", f.dir)
}

func (f files) read(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(f.dir, name))
	if err == nil {
		fmt.Fprintf(f.digest, "%s %d\n", name, len(data))
		f.digest.Write(data)
	}
	return data, err
}

// named puts the path of a file in front of an error about its content.
func (f files) named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", filepath.Join(f.dir, name), err)
}
