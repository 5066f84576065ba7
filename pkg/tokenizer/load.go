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
// merges.txt (RoBERTa), with the options of tokenizer_config.json, special_tokens_map.json and added_tokens.json where they
// are there. Ids are those of transformers' AutoTokenizer, which takes the class that tokenizer_config.json or config.json
// names. The length and the padding that are stored are ignored. Anything else in the files that changes ids and is not
// supported is an error that names the field; [Tokenizer.Notes] has what was taken or left in silence there.
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

// rules changes whenever the same files would give other ids.
const rules = "transformers 5.23\n"

func (f files) load() (*Tokenizer, error) {
	s, err := f.settings()
	if err != nil {
		return nil, err
	}
	class, known, err := s.class()
	if err != nil {
		return nil, err
	}
	content, err := f.read("tokenizer.json")
	if err == nil {
		return s.ofTokenizerJSON(class, content)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if !known {
		if class, err = f.classOfVocabulary(); err != nil {
			return nil, err
		}
	}
	return s.ofVocabulary(class)
}

// classOfVocabulary is the class that a vocabulary without tokenizer.json is of, where nothing names it.
func (f files) classOfVocabulary() (tokenizerClass, error) {
	for name, class := range map[string]tokenizerClass{"vocab.txt": bertClass, "vocab.json": robertaClass} {
		if _, err := os.Stat(filepath.Join(f.dir, name)); err == nil {
			return class, nil
		}
	}
	return tokenizerClass{}, fmt.Errorf("%s has none of tokenizer.json, vocab.txt and vocab.json", f.dir)
}

// maxFile is far above any tokenizer's file.
const maxFile = 256 << 20

// read returns a string because the tokens of a vocabulary are parts of it.
func (f files) read(name string) (string, error) {
	content, err := f.open(name)
	if err == nil {
		fmt.Fprintf(f.digest, "%s %d\n%s", name, len(content), content)
	}
	return content, err
}

// open is read of a file that does not belong to the digest.
func (f files) open(name string) (string, error) {
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
	return content.String(), nil
}

// named puts the path of a file in front of an error about its content.
func (f files) named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", filepath.Join(f.dir, name), err)
}
