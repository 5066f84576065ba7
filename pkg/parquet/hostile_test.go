package parquet

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// readAll reads each column that can be.
func readAll(content []byte) (failed int) {
	file, err := Open(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return 1
	}
	for _, c := range file.columns {
		if _, _, err := read(content, c.name); err != nil {
			failed++
		}
	}
	return failed
}

// Files that are damaged anywhere are an error or other values, never a panic, and claim
// nothing.
func TestDamaged(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 0))
	for _, name := range []string{"hub", "kinds", "kinds-v2"} {
		content := fixture(t, name)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		failed, reads := 0, 0
		for at := random.IntN(9); at < len(content); at += 1 + random.IntN(99) {
			former := content[at]
			content[at] = byte(random.IntN(256))
			failed += min(1, readAll(content))
			content[at] = former
			if at%3 == 0 {
				failed += min(1, readAll(content[:at]))
			}
			reads++
		}
		runtime.ReadMemStats(&after)
		if mean := (after.TotalAlloc - before.TotalAlloc) / uint64(reads); mean > 4<<20 {
			t.Errorf("%s: %d bytes are allocated for a file of %d", name, mean, len(content))
		}
		if failed < reads/10 {
			t.Errorf("%s: %d of %d files are wrong", name, failed, reads)
		}
	}
}

// claim is a file of one row group with one page of a column of texts, as it says.
type claim struct {
	rows, values int64
	header       format.PageHeader
	codec        format.CompressionCodec
	body         []byte
	optional     bool
}

func (c claim) file(t *testing.T) []byte {
	t.Helper()
	marshal := func(v any) []byte {
		b, err := thrift.Marshal(&thrift.CompactProtocol{}, v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	c.header.CompressedPageSize = int32(len(c.body))
	content := append([]byte(magic), marshal(&c.header)...)
	content = append(content, c.body...)
	repetition := format.Required
	if c.optional {
		repetition = format.Optional
	}
	footer := marshal(&format.FileMetaData{
		Version: 1, NumRows: c.rows,
		Schema: []format.SchemaElement{{Name: "schema", NumChildren: thrift.New[int32](1)},
			{Name: "text", Type: thrift.New(format.ByteArray), RepetitionType: thrift.New(repetition)}},
		RowGroups: []format.RowGroup{{NumRows: c.rows, Columns: []format.ColumnChunk{{MetaData: format.ColumnMetaData{
			Type: format.ByteArray, Codec: c.codec, NumValues: c.values, DataPageOffset: int64(len(magic)), TotalCompressedSize: int64(len(content) - len(magic)),
			PathInSchema: []string{"text"}, Encoding: []format.Encoding{format.Plain},
		}}}}},
	})
	content = append(content, footer...)
	return append(binary.LittleEndian.AppendUint32(content, uint32(len(footer))), magic...)
}

func dataPage(values int32, encoding format.Encoding, unpacked int) format.PageHeader {
	return format.PageHeader{Type: format.DataPage, UncompressedPageSize: int32(unpacked), DataPageHeader: thrift.New(format.DataPageHeader{
		NumValues: values, Encoding: encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
	})}
}

// What a page claims, of values, runs, sizes, is not believed.
func TestClaims(t *testing.T) {
	packed, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	run := func(count uint64, value byte) []byte { return append(binary.AppendUvarint(nil, count<<1), value) }
	two := []byte("\x01\x00\x00\x00a\x01\x00\x00\x00b")
	for name, c := range map[string]struct {
		claim
		want string
	}{
		"nothing":                     {claim{rows: 2, values: 2, header: dataPage(2, format.Plain, len(two)), body: two}, ""},
		"packs that are filled up":    {claim{rows: 2, values: 2, optional: true, header: dataPage(2, format.Plain, 47), body: slices.Concat([]byte{33, 0, 0, 0, 32<<1 | 1}, bytes.Repeat([]byte{3}, 32), two)}, ""},
		"more rows than values":       {claim{rows: 1 << 40, values: 2, header: dataPage(2, format.Plain, len(two)), body: two}, "it has 2 values for 1099511627776 rows"},
		"more rows than pages":        {claim{rows: 1 << 40, values: 1 << 40, header: dataPage(2, format.Plain, len(two)), body: two}, "its pages end before 1099511627774 of its values"},
		"more values than rows":       {claim{rows: 2, values: 2, header: dataPage(3, format.Plain, len(two)), body: two}, "a page of 3 values where 2 are left"},
		"more values than any":        {claim{rows: 1 << 31, values: 1 << 31, header: dataPage(1<<31-1, format.Plain, len(two)), body: two}, "of at most 8388608"},
		"a negative number":           {claim{rows: 2, values: 2, header: dataPage(-1, format.Plain, len(two)), body: two}, "a page of -1 values"},
		"fewer texts":                 {claim{rows: 3, values: 3, header: dataPage(3, format.Plain, len(two)), body: two}, "it breaks off"},
		"a long text":                 {claim{rows: 1, values: 1, header: dataPage(1, format.Plain, 5), body: []byte("\xff\xff\xff\x7fa")}, "it breaks off"},
		"a large page":                {claim{rows: 2, values: 2, header: dataPage(2, format.Plain, 1<<30), codec: format.Zstd, body: two}, "a page of 1073741824 bytes when it is unpacked, which is above 128 MiB"},
		"a page of another size":      {claim{rows: 2, values: 2, header: dataPage(2, format.Plain, 11), body: two}, "a page does not unpack to what its header says"},
		"a bomb of snappy":            {claim{rows: 2, values: 2, header: dataPage(2, format.Plain, 100<<20), codec: format.Snappy, body: binary.AppendUvarint(nil, 100<<20)}, "does not unpack to what its header says"},
		"snappy of more":              {claim{rows: 2, values: 2, header: dataPage(2, format.Plain, 10), codec: format.Snappy, body: snappy.Encode(nil, zeros)}, "does not unpack to what its header says"},
		"a bomb of zstd":              {claim{rows: 2, values: 2, header: dataPage(2, format.Plain, 10), codec: format.Zstd, body: packed.EncodeAll(zeros, nil)}, "a page cannot be unpacked"},
		"no zstd":                     {claim{rows: 2, values: 2, header: dataPage(2, format.Plain, 10), codec: format.Zstd, body: two}, "a page cannot be unpacked"},
		"no dictionary":               {claim{rows: 2, values: 2, header: dataPage(2, format.RLEDictionary, 3), body: append([]byte{1}, run(2, 1)...)}, "value 1 of a dictionary of 0"},
		"a run of more":               {claim{rows: 2, values: 2, header: dataPage(2, format.RLEDictionary, 7), body: append([]byte{1}, run(1<<31, 1)...)}, "a run of 2147483648 numbers where 2 are left"},
		"a run without bits":          {claim{rows: 2, values: 2, header: dataPage(2, format.RLEDictionary, 6), body: append([]byte{0}, run(1<<31, 1)[:5]...)}, "value 0 of a dictionary of 0"},
		"packs of more":               {claim{rows: 2, values: 2, header: dataPage(2, format.RLEDictionary, 6), body: append([]byte{1}, binary.AppendUvarint(nil, 1<<31|1)...)}, "it breaks off"},
		"numbers of many bits":        {claim{rows: 2, values: 2, header: dataPage(2, format.RLEDictionary, 3), body: append([]byte{200}, run(2, 1)...)}, "numbers of 200 bits"},
		"levels of more":              {claim{rows: 2, values: 2, optional: true, header: dataPage(2, format.Plain, 10), body: append([]byte{6, 0, 0, 0}, run(1<<31, 1)...)}, "a run of 2147483648 numbers where 2 are left"},
		"levels behind the page":      {claim{rows: 2, values: 2, optional: true, header: dataPage(2, format.Plain, 4), body: []byte{0xff, 0xff, 0xff, 0xff}}, "it breaks off"},
		"lengths of more":             {claim{rows: 2, values: 2, header: dataPage(2, format.DeltaLengthByteArray, 9), body: []byte("\x80\x01\x04\xff\xff\xff\xff\x0f\x00")}, "4294967295 numbers where there are 2 values"},
		"an encoding of other values": {claim{rows: 2, values: 2, header: dataPage(2, format.ByteStreamSplit, len(two)), body: two}, "values of type BYTE_ARRAY in encoding BYTE_STREAM_SPLIT cannot be read"},
		"a page of another sort":      {claim{rows: 2, values: 2, header: format.PageHeader{Type: 9}}, "it has a page of type 9, which does not exist"},
		"a large dictionary": {claim{rows: 2, values: 2, header: format.PageHeader{Type: format.DictionaryPage, UncompressedPageSize: int32(len(two)),
			DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: 1 << 30})}, body: two}, "a dictionary of 1073741824 values in 10 bytes"},
	} {
		content := c.file(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := read(content, "text")
		runtime.ReadMemStats(&after)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
			t.Errorf("%s: %d bytes are allocated for a file of %d", name, n, len(content))
		}
	}
}

// A file has the rows that it says.
func TestRowsToCome(t *testing.T) {
	c := claim{rows: 2, values: 2, header: dataPage(2, format.Plain, 10), body: []byte("\x01\x00\x00\x00a\x01\x00\x00\x00b")}
	content := c.file(t)
	file, err := Open(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	for rows, want := range map[int64]string{
		3: "the file ends here, with 1 rows to come by its metadata",
		1: "row group 1: it has 2 rows; the file has 1, and comes to row 1 here",
	} {
		file.rows = rows
		walk, err := file.Rows("text")
		for err == nil {
			_, err = walk.Next()
		}
		if err.Error() != want || walk.Row() != int(min(rows, 3)) {
			t.Errorf("row %d: %v, want %s", walk.Row(), err, want)
		}
	}
}

// Lists in the metadata that claim any number of elements allocate nothing.
func TestMetadataClaims(t *testing.T) {
	for name, footer := range map[string]string{
		"a list without end":     "\x29\xfc\xff\xff\xff\xff\x07",
		"a text without end":     "\x28\xff\xff\xff\xff\x07",
		"structures without end": strings.Repeat("\x1c", 1000),
		"lists in lists":         "\x29" + strings.Repeat("\xf9\x7f", 500),
		"a map":                  "\x2b\x01\x88",
		"another type":           "\x2f",
		"a short number":         "\x26\xff",
	} {
		content := append(append([]byte(magic), footer...), "\x00\x00\x00\x00"+magic...)
		binary.LittleEndian.PutUint32(content[len(content)-8:], uint32(len(footer)))
		if _, err := Open(bytes.NewReader(content), int64(len(content))); err == nil || !strings.HasPrefix(err.Error(), "the metadata at the end of the file cannot be read: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"hub", "pages", "kinds", "kinds-v2", "kinds-plain", "kinds-delta", "empty", "others", "suffixes"} {
		f.Add(fixture(f, name))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := Open(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return
		}
		for _, c := range file.columns {
			walk, err := file.Rows(c.name)
			for n := 0; err == nil && n < 1<<12; n++ {
				var cells []string
				if cells, err = walk.Next(); err == nil && len(cells) != 1 {
					t.Fatalf("%d cells", len(cells))
				}
			}
			if err != nil && err != io.EOF && walk != nil && walk.Row() < 1 {
				t.Fatalf("row %d: %v", walk.Row(), err)
			}
		}
	})
}
