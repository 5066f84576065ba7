package parquet

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
)

// values takes the n values of a page one after the other.
func (c *chunk) values(encoding format.Encoding, data []byte, n int) (func() (string, error), error) {
	switch {
	case encoding == format.RLEDictionary || encoding == plainDictionary:
		return c.looked(data, n)
	case encoding == format.Plain:
		return c.plain(data)
	case encoding == format.RLE && c.kind == format.Boolean:
		bits, _, err := sized(data)
		if err != nil {
			return nil, err
		}
		decoded, err := runs(bits, 1, n)
		return each(decoded, func(bit int32) string { return strconv.FormatBool(bit == 1) }), err
	case encoding == format.DeltaBinaryPacked && c.kind == format.Int32:
		if err := checkDelta(data, n); err != nil {
			return nil, err
		}
		decoded, err := (&delta.BinaryPackedEncoding{}).DecodeInt32(nil, data)
		return each(decoded, c.int32), err
	case encoding == format.DeltaBinaryPacked && c.kind == format.Int64:
		if err := checkDelta(data, n); err != nil {
			return nil, err
		}
		decoded, err := (&delta.BinaryPackedEncoding{}).DecodeInt64(nil, data)
		return each(decoded, c.int64), err
	case encoding == format.DeltaLengthByteArray && c.kind == format.ByteArray:
		return deltaTexts(data, n)
	}
	return nil, fmt.Errorf("values of type %v in encoding %v cannot be read", c.kind, encoding)
}

// each takes decoded values.
func each[T any](values []T, text func(T) string) func() (string, error) {
	return func() (string, error) {
		if len(values) == 0 {
			return "", errShort
		}
		value := values[0]
		values = values[1:]
		return text(value), nil
	}
}

// looked takes values by their places in the dictionary.
func (c *chunk) looked(data []byte, n int) (func() (string, error), error) {
	if n == 0 {
		return each[string](nil, nil), nil
	}
	if len(data) == 0 {
		return nil, errShort
	}
	places, err := runs(data[1:], int(data[0]), n)
	if err != nil {
		return nil, err
	}
	dictionary := c.dictionary
	return func() (string, error) {
		if len(places) == 0 {
			return "", errShort
		}
		place := int(uint32(places[0]))
		if places = places[1:]; place >= len(dictionary) {
			return "", fmt.Errorf("value %d of a dictionary of %d", place, len(dictionary))
		}
		return dictionary[place], nil
	}, nil
}

// plain takes values that stand side by side.
func (c *chunk) plain(data []byte) (func() (string, error), error) {
	switch c.kind {
	case format.Boolean:
		bit := -1
		return func() (string, error) {
			if bit++; bit >= 8*len(data) {
				return "", errShort
			}
			return strconv.FormatBool(data[bit/8]>>(bit%8)&1 == 1), nil
		}, nil
	case format.Int32:
		return fixed(data, 4, func(b []byte) string { return c.int32(int32(binary.LittleEndian.Uint32(b))) }), nil
	case format.Int64:
		return fixed(data, 8, func(b []byte) string { return c.int64(int64(binary.LittleEndian.Uint64(b))) }), nil
	case format.Float:
		return fixed(data, 4, func(b []byte) string { return float(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32) }), nil
	case format.Double:
		return fixed(data, 8, func(b []byte) string { return float(math.Float64frombits(binary.LittleEndian.Uint64(b)), 64) }), nil
	case format.ByteArray:
		return func() (value string, err error) {
			part, rest, err := sized(data)
			data = rest
			return string(part), err
		}, nil
	}
	return nil, fmt.Errorf("values of type %v cannot be read", c.kind)
}

// fixed takes values of so many bytes.
func fixed(data []byte, size int, text func([]byte) string) func() (string, error) {
	return func() (string, error) {
		if len(data) < size {
			return "", errShort
		}
		value := data[:size]
		data = data[size:]
		return text(value), nil
	}
}

func (c *chunk) int32(n int32) string {
	if c.unsigned {
		return strconv.FormatUint(uint64(uint32(n)), 10)
	}
	return strconv.FormatInt(int64(n), 10)
}

func (c *chunk) int64(n int64) string {
	if c.unsigned {
		return strconv.FormatUint(uint64(n), 10)
	}
	return strconv.FormatInt(n, 10)
}

func float(x float64, bits int) string { return strconv.FormatFloat(x, 'g', -1, bits) }

// runs decodes n numbers of so many bits, in runs and in packs of eight. A run may claim
// any number: the decoder is given what is known to be n. The last packs may be filled up
// (DuckDB's are 256 numbers), with bits that are there.
func runs(data []byte, width, n int) ([]int32, error) {
	switch {
	case width > 32:
		return nil, fmt.Errorf("numbers of %d bits", width)
	case width == 0:
		return make([]int32, n), nil
	}
	at, count := 0, 0
	for count < n {
		head, size := binary.Uvarint(data[at:])
		if size <= 0 {
			return nil, errShort
		}
		at += size
		numbers, length := head>>1, uint64(width+7)/8
		if packed := head&1 == 1; packed {
			packs := min(numbers, uint64(len(data))+1) // each has a byte or more
			numbers, length = min(8*packs, uint64(n-count)), packs*uint64(width)
		}
		if numbers > uint64(n-count) {
			return nil, fmt.Errorf("a run of %d numbers where %d are left", numbers, n-count)
		}
		if length > uint64(len(data)-at) {
			return nil, errShort
		}
		at, count = at+int(length), count+int(numbers)
	}
	numbers, err := (&rle.Encoding{BitWidth: width}).DecodeInt32(nil, data[:at])
	if err == nil && len(numbers) < n {
		err = errShort
	}
	if err != nil {
		return nil, err
	}
	return numbers[:n], nil
}

// checkDelta holds what delta-encoded numbers say of themselves to n of them.
func checkDelta(data []byte, n int) error {
	at := 0
	for _, what := range []string{"block", "parts", "values"} {
		value, size := binary.Uvarint(data[at:])
		if size <= 0 {
			return errShort
		}
		if at += size; what == "values" && value != uint64(n) {
			return fmt.Errorf("%d numbers where there are %d values", value, n)
		}
	}
	return nil
}

// deltaTexts takes texts whose lengths stand before all of them.
func deltaTexts(data []byte, n int) (func() (string, error), error) {
	if err := checkDelta(data, n); err != nil {
		return nil, err
	}
	texts, ends, err := (&delta.LengthByteArrayEncoding{}).DecodeByteArray(nil, data, nil)
	if err != nil {
		return nil, err
	}
	at := 0
	return func() (string, error) {
		if at++; at >= len(ends) {
			return "", errShort
		}
		return string(texts[ends[at-1]:ends[at]]), nil
	}, nil
}
