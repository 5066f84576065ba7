// Package helper finds the libraries that set-up compiles where their needs are met (the
// CUDA helper, the MPI helper) and tells their builds apart. A program loads one where it
// is, and goes on without it where it is not.
package helper

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Build tells builds of the embedded files source/* apart: the first 16 hexadecimal digits
// of the SHA-256 of them, one after the other in the order of their names.
func Build(files fs.FS) string {
	hash := sha256.New()
	names, err := fs.Glob(files, "source/*") // sorted
	for _, name := range names {
		var text []byte
		if text, err = fs.ReadFile(files, name); err != nil {
			break
		}
		hash.Write(text)
	}
	if err != nil {
		panic(err) // what is embedded can be read
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
}

// Find is the file of a library: what the environment's variable names, else one beside
// the executable, else where set-up builds it, in the checkout's .gotch/helper, else its
// name, by which the loader looks for it. named: the variable says so.
func Find(variable, library string) (path string, named bool) {
	if path := os.Getenv(variable); path != "" {
		return path, true
	}
	for _, folder := range Folders() {
		path := filepath.Join(folder, library)
		if _, err := os.Stat(path); err == nil {
			return path, false
		}
	}
	return library, false
}

// Folders are those that [Find] looks into.
func Folders() []string {
	var folders []string
	if executable, err := os.Executable(); err == nil {
		folders = append(folders, filepath.Dir(executable))
	}
	// A program that was compiled with -trimpath knows no checkout.
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		folders = append(folders, filepath.Join(filepath.Dir(file), "..", "..", "..", ".gotch", "helper"))
	}
	return folders
}
