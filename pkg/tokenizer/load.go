package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	for _, format := range []struct {
		name string
		load func(content string) (*Tokenizer, error)
	}{
		{"tokenizer.json", f.tokenizerJSON},
		{"vocab.txt", f.bert},
		{"vocab.json", f.roberta},
	} {
		content, err := f.read(format.name)
		if err == nil {
			return format.load(content)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s has none of tokenizer.json, vocab.txt and vocab.json", f.dir)
}

func (f files) tokenizerJSON(content string) (*Tokenizer, error) {
	t, err := parseTokenizerJSON([]byte(content))
	return t, f.named("tokenizer.json", err)
}

// maxFile is far above any tokenizer's file.
const maxFile = 256 << 20

// read returns a string because the tokens of a vocabulary are parts of it.
func (f files) read(name string) (string, error) {
	file, err := os.Open(filepath.Join(f.dir, name))
	if err != nil {
		return "", err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return "", err
	}
	if stat.Size() > maxFile {
		return "", f.named(name, fmt.Errorf("%d bytes, want at most %d", stat.Size(), maxFile))
	}
	var content strings.Builder
	content.Grow(int(stat.Size()))
	if _, err := io.Copy(&content, io.LimitReader(file, stat.Size())); err != nil {
		return "", err
	}
	fmt.Fprintf(f.digest, "%s %d\n%s", name, content.Len(), content.String())
	return content.String(), nil
}

// named puts the path of a file in front of an error about its content.
func (f files) named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", filepath.Join(f.dir, name), err)
}
