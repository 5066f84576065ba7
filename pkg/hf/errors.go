// Package hf reads what Hugging Face publishes: a model's config.json, its
// checkpoint in one file or in shards, the local cache, the hub. It is pure Go
// and hands tensors over as bytes.
package hf

import "fmt"

// FormatError reports a file that contradicts itself or its format.
type FormatError struct {
	Path    string
	Key     string // the JSON key concerned, "" where it is the whole file
	Problem string
}

func (e *FormatError) Error() string { return place(e.Path, e.Key) + e.Problem }

// UnsupportedError reports a file that is valid but asks for something that
// the models here do not compute.
type UnsupportedError struct {
	Path    string
	Key     string
	Problem string
}

func (e *UnsupportedError) Error() string { return place(e.Path, e.Key) + "unsupported: " + e.Problem }

func place(path, key string) string {
	if key == "" {
		return path + ": "
	}
	return fmt.Sprintf("%s: %s: ", path, key)
}
