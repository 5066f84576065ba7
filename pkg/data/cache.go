package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"github.com/metatt/metatt/pkg/task"
	"github.com/metatt/metatt/pkg/tokenizer"
)

// Cache keeps encoded sets in a folder, under what their encoding depends on:
// the tokenizer's files, every text, the length they are cut to. The zero Cache
// keeps nothing.
type Cache struct {
	Dir string
	// Limit is the bytes that all entries may take; the longest unused go first.
	Limit int64
}

// smallestCached is the text below which encoding is quicker than a look for the
// entry is worth.
const smallestCached = 1 << 20

// cacheFormat changes whenever the same key would mean other ids or another file.
const cacheFormat = "metatt encodings 2\n"

// Encode is [Encode], through the cache. An entry that is damaged is made again;
// one that cannot be written costs nothing but the next run's time.
func (c Cache) Encode(ctx context.Context, t *tokenizer.Tokenizer, task task.Task, examples []task.Example, maxLength int) (*Set, error) {
	if c.Dir == "" || textBytes(examples) < smallestCached {
		return Encode(ctx, t, task, examples, maxLength)
	}
	path := filepath.Join(c.Dir, cacheKey(t, task, examples, maxLength)+".encodings")
	if encodings, err := readEncodings(path, len(examples), t.VocabSize(), maxLength); err == nil {
		now := time.Now()
		_ = os.Chtimes(path, now, now) // "unused" counts from here
		return &Set{task, examples, encodings}, nil
	}
	set, err := Encode(ctx, t, task, examples, maxLength)
	if err != nil {
		return nil, err
	}
	c.write(path, set.encodings)
	return set, nil
}

func textBytes(examples []task.Example) int {
	n := 0
	for _, e := range examples {
		n += len(e.Text) + len(e.Pair)
	}
	return n
}

// cacheKey is a digest of everything that decides the ids. Lengths stand before
// what they count, so that no two inputs are written alike.
func cacheKey(t *tokenizer.Tokenizer, task task.Task, examples []task.Example, maxLength int) string {
	digest := sha256.New()
	fmt.Fprintf(digest, "%s%s %d %t %d\n", cacheFormat, t.Sum(), maxLength, task.HasPair, len(examples))
	var buffer []byte
	for _, e := range examples {
		buffer = buffer[:0]
		for _, text := range []string{e.Text, e.Pair} {
			buffer = binary.LittleEndian.AppendUint64(buffer, uint64(len(text)))
			buffer = append(buffer, text...)
		}
		digest.Write(buffer)
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// An entry is the format's name, the number of tokens of each example (uint32, cutBit of one
// that was cut), all ids (uint32), all type ids (uint8), and the SHA-256 of all that, numbers
// in little-endian order.

const cutBit = 1 << 31

// write stores an entry. What fails is left out: the encodings are at hand.
func (c Cache) write(path string, encodings []tokenizer.Encoding) {
	content, ok := formatEncodings(encodings)
	if !ok || int64(len(content)) > c.Limit || os.MkdirAll(c.Dir, 0o755) != nil {
		return
	}
	if c.makeRoom(int64(len(content))) == nil {
		_ = renameio.WriteFile(path, content, 0o644)
	}
}

func formatEncodings(encodings []tokenizer.Encoding) (content []byte, ok bool) {
	tokens := 0
	for _, e := range encodings {
		tokens += len(e.IDs)
	}
	content = make([]byte, 0, len(cacheFormat)+4*len(encodings)+5*tokens+sha256.Size)
	content = append(content, cacheFormat...)
	for _, e := range encodings {
		length := uint32(len(e.IDs))
		if e.Cut {
			length |= cutBit
		}
		content = binary.LittleEndian.AppendUint32(content, length)
	}
	for _, e := range encodings {
		for _, id := range e.IDs {
			content = binary.LittleEndian.AppendUint32(content, uint32(id))
		}
	}
	for _, e := range encodings {
		for _, id := range e.TypeIDs {
			if id < 0 || id > math.MaxUint8 {
				return nil, false
			}
			content = append(content, byte(id))
		}
	}
	sum := sha256.Sum256(content)
	return append(content, sum[:]...), true
}

var errDamaged = errors.New("damaged")

// readEncodings reads an entry of that many examples, each of 1 to maxLength
// tokens with ids below vocabulary.
func readEncodings(path string, examples, vocabulary, maxLength int) ([]tokenizer.Encoding, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, int64(len(cacheFormat)+examples*(4+5*maxLength)+sha256.Size)+1))
	if err != nil {
		return nil, err
	}
	if len(content) < len(cacheFormat)+4*examples+sha256.Size || !bytes.HasPrefix(content, []byte(cacheFormat)) {
		return nil, errDamaged
	}
	content, sum := content[:len(content)-sha256.Size], content[len(content)-sha256.Size:]
	if want := sha256.Sum256(content); !bytes.Equal(sum, want[:]) {
		return nil, errDamaged
	}
	lengths := content[len(cacheFormat):][:4*examples]
	rest := content[len(cacheFormat)+4*examples:]
	tokens := len(rest) / 5
	ids, types := make([]int32, tokens), make([]int32, tokens)
	for i := range ids {
		id := binary.LittleEndian.Uint32(rest[4*i:])
		if id >= uint32(vocabulary) {
			return nil, errDamaged
		}
		ids[i], types[i] = int32(id), int32(rest[4*tokens+i])
	}
	encodings := make([]tokenizer.Encoding, examples)
	for i := range encodings {
		length := binary.LittleEndian.Uint32(lengths[4*i:])
		n := int(length &^ cutBit)
		if n < 1 || n > maxLength || n > len(ids) {
			return nil, errDamaged
		}
		encodings[i] = tokenizer.Encoding{IDs: ids[:n:n], TypeIDs: types[:n:n], Cut: length&cutBit != 0}
		ids, types = ids[n:], types[n:]
	}
	if len(ids) > 0 || len(rest) != 5*tokens {
		return nil, errDamaged
	}
	return encodings, nil
}

// makeRoom removes the longest unused entries until size more bytes fit.
func (c Cache) makeRoom(size int64) error {
	files, err := filepath.Glob(filepath.Join(c.Dir, "*.encodings"))
	if err != nil {
		return err
	}
	var entries []fs.FileInfo
	for _, path := range files {
		if info, err := os.Lstat(path); err == nil { // else another process removed it
			entries = append(entries, info)
			size += info.Size()
		}
	}
	slices.SortFunc(entries, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, entry := range entries {
		if size <= c.Limit {
			break
		}
		if err := os.Remove(filepath.Join(c.Dir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		size -= entry.Size()
	}
	return nil
}
