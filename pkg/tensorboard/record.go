// Package tensorboard writes event files as TensorBoard reads them: records in
// TFRecord framing, each a message of TensorFlow's event.proto. Of the messages it
// has what runs need: scalars, texts, and the hyper-parameters of a run
// (tensorboard/plugins/hparams). It is the format alone.
package tensorboard

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// FilePart is in the name of every file that TensorBoard takes for an event file.
const FilePart = "tfevents"

// A record is the length of its message in eight bytes, their checksum, the message
// and its checksum; numbers are little-endian.
const (
	lengthBytes = 8
	sumBytes    = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is TFRecord's: CRC32C, turned and shifted, so that one of data that hold
// checksums is as good as any.
func checksum(data []byte) uint32 {
	sum := crc32.Checksum(data, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}

// appendRecord frames a message.
func appendRecord(to, message []byte) []byte {
	start := len(to)
	to = binary.LittleEndian.AppendUint64(to, uint64(len(message)))
	to = binary.LittleEndian.AppendUint32(to, checksum(to[start:]))
	to = append(to, message...)
	return binary.LittleEndian.AppendUint32(to, checksum(message))
}

var errRecord = errors.New("not a whole record")

// largestRecord bounds a message that is read, in bytes. Those of runs are far
// smaller: the largest is the text of a configuration.
const largestRecord = 16 << 20

// readRecord reads the next message. It is io.EOF where the file ends behind a
// record, and another error where what follows is not a whole one.
func readRecord(r io.Reader) ([]byte, error) {
	var head [lengthBytes + sumBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(head[:lengthBytes])
	if binary.LittleEndian.Uint32(head[lengthBytes:]) != checksum(head[:lengthBytes]) || length > largestRecord {
		return nil, errRecord
	}
	body := make([]byte, length+sumBytes)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, errRecord
	}
	message := body[:length]
	if binary.LittleEndian.Uint32(body[length:]) != checksum(message) {
		return nil, errRecord
	}
	return message, nil
}
