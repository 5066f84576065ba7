package parquet

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// checkCodec is an error for a compression that is not unpacked here.
func checkCodec(codec format.CompressionCodec) error {
	switch codec {
	case format.Uncompressed, format.Snappy, format.Gzip, format.Zstd:
		return nil
	}
	return fmt.Errorf("it is compressed by %v; snappy, zstd and gzip can be read", codec)
}

// errSize is a page that is not as long as its header says.
var errSize = errors.New("a page does not unpack to what its header says")

// unpacked is a page of that size, no more than which is allocated.
func unpacked(codec format.CompressionCodec, packed []byte, size int) (data []byte, err error) {
	switch codec {
	case format.Uncompressed:
		data = packed
	case format.Snappy:
		if n, err := snappy.DecodedLen(packed); err != nil || n != size || size/snappyRatio > len(packed) {
			return nil, errSize
		}
		data, err = snappy.Decode(make([]byte, size), packed)
	case format.Zstd:
		data, err = zstandard.DecodeAll(packed, make([]byte, 0, size))
	case format.Gzip:
		data, err = inflated(packed, size)
	}
	if err != nil {
		return nil, fmt.Errorf("a page cannot be unpacked: %w", err)
	}
	if len(data) != size {
		return nil, errSize
	}
	return data, nil
}

// snappyRatio is how much a copy of 64 bytes in three of them unpacks to, rounded up.
const snappyRatio = 22

// zstandard decodes into what it is given and nothing more.
var zstandard = func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(largestPage))
	if err != nil {
		panic(err) // constant options
	}
	return d
}()

func inflated(packed []byte, size int) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, int64(size)+1))
}
