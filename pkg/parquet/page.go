package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/parquet-go/parquet-go/format"
)

// Bounds of a page, far above what writers make (of 1 MiB, or of 1,024 long texts).
const (
	largestPage = 128 << 20 // bytes, unpacked
	mostValues  = 1 << 23
)

// plainDictionary is what older writers call dictionaries, and places in them.
const plainDictionary format.Encoding = 2

// body reads what follows the header.
func (c *chunk) body(h format.PageHeader) ([]byte, error) {
	size := int64(h.CompressedPageSize)
	if size < 0 || size > c.end-c.at {
		return nil, fmt.Errorf("a page of %d bytes where %d are left", size, c.end-c.at)
	}
	if h.UncompressedPageSize < 0 || h.UncompressedPageSize > largestPage {
		return nil, fmt.Errorf("a page of %d bytes when it is unpacked, which is above %d MiB", h.UncompressedPageSize, largestPage>>20)
	}
	body, err := c.file.bytes(c.at, size)
	if err != nil {
		return nil, err
	}
	c.at += size
	if h.CRC != 0 && crc32.ChecksumIEEE(body) != uint32(h.CRC) {
		return nil, errors.New("a page is not what was written: its checksum differs")
	}
	return body, nil
}

func (c *chunk) readDictionary(h format.PageHeader, body []byte) error {
	d := h.DictionaryPageHeader.V
	switch {
	case c.dictionary != nil:
		return errors.New("it has two dictionaries")
	case d.Encoding != format.Plain && d.Encoding != plainDictionary:
		return fmt.Errorf("a dictionary in encoding %v", d.Encoding)
	}
	data, err := unpacked(c.codec, body, int(h.UncompressedPageSize))
	if err != nil {
		return err
	}
	n := int(d.NumValues)
	if n < 0 || n > len(data)/4 { // each has four bytes or more
		return fmt.Errorf("a dictionary of %d values in %d bytes", n, len(data))
	}
	next, err := c.plain(data)
	if err != nil {
		return err
	}
	c.dictionary = make([]string, n)
	for i := range c.dictionary {
		if c.dictionary[i], err = next(); err != nil {
			return err
		}
	}
	return nil
}

func (c *chunk) readPage(h format.PageHeader, body []byte) error {
	data, err := unpacked(c.codec, body, int(h.UncompressedPageSize))
	if err != nil {
		return err
	}
	d := h.DataPageHeader.V
	var levels []byte
	if c.optional {
		if d.DefinitionLevelEncoding != format.RLE {
			return fmt.Errorf("levels in encoding %v", d.DefinitionLevelEncoding)
		}
		if levels, data, err = sized(data); err != nil {
			return err
		}
	}
	return c.begin(int(d.NumValues), levels, d.Encoding, data)
}

func (c *chunk) readPageV2(h format.PageHeader, body []byte) error {
	d := h.DataPageHeaderV2.V
	n := int(d.DefinitionLevelsByteLength)
	switch {
	case d.RepetitionLevelsByteLength != 0:
		return errors.New("a page of a repeated column")
	case n < 0 || n > len(body) || n > int(h.UncompressedPageSize):
		return fmt.Errorf("levels of %d bytes in a page of %d", n, len(body))
	}
	codec := c.codec
	if d.IsCompressed.Valid && !d.IsCompressed.V {
		codec = format.Uncompressed
	}
	data, err := unpacked(codec, body[n:], int(h.UncompressedPageSize)-n)
	if err != nil {
		return err
	}
	var levels []byte
	if c.optional {
		levels = body[:n]
	}
	return c.begin(int(d.NumValues), levels, d.Encoding, data)
}

// begin makes a page the one that values are taken of. levels has a bit for each value
// of an optional column, in runs.
func (c *chunk) begin(count int, levels []byte, encoding format.Encoding, data []byte) (err error) {
	if count < 0 || int64(count) > c.rows || count > mostValues {
		return fmt.Errorf("a page of %d values where %d are left, of at most %d", count, c.rows, mostValues)
	}
	p := page{left: count}
	values := count
	if c.optional {
		if p.levels, err = runs(levels, 1, count); err != nil {
			return err
		}
		values = 0
		for _, level := range p.levels {
			values += int(level)
		}
	}
	if p.value, err = c.values(encoding, data, values); err != nil {
		return err
	}
	c.page, c.rows = p, c.rows-int64(count)
	return nil
}

// sized is a part that its length in four bytes stands before, and what follows.
func sized(data []byte) (part, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, errShort
	}
	n := binary.LittleEndian.Uint32(data)
	if uint64(n) > uint64(len(data)-4) {
		return nil, nil, errShort
	}
	return data[4 : 4+n], data[4+n:], nil
}
