package download

import (
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var content = []byte("0123456789")

func sha256File(name string) File {
	return File{Name: name, Size: int64(len(content)), Digest: fmt.Sprintf("%x", sha256.Sum256(content))}
}

// client answers every path as handler does.
func client(t *testing.T, handler http.HandlerFunc) (*Client, string) {
	t.Helper()
	t.Setenv("HF_HUB_OFFLINE", "0") // what the user has set is not the test's
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &Client{Patience: time.Second}, server.URL
}

func whole(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
}

func TestVerify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	git := File{Size: 10, Digest: fmt.Sprintf("%x", sha1.Sum([]byte("blob 10\x000123456789")))}
	for _, file := range []File{sha256File("f"), git} {
		if err := file.Verify(path); err != nil || !IsDigest(file.Digest) {
			t.Errorf("%s: %v", file.Digest, err)
		}
	}
	zeros := strings.Repeat("0", 40)
	for _, c := range []struct {
		file File
		want string
	}{
		{File{Size: 10, Digest: zeros}, "git's SHA-1 is " + git.Digest + ", want " + zeros},
		{File{Size: 10, Digest: zeros + zeros[:24]}, "SHA-256 is " + sha256File("").Digest + ", want " + zeros + zeros[:24]},
		{File{Size: 9, Digest: git.Digest}, "longer than its 9 bytes"},
		{File{Size: 11, Digest: git.Digest}, "10 bytes, want 11"},
	} {
		if err := c.file.Verify(path); err == nil || err.Error() != path+": "+c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	for _, text := range []string{"", "0", strings.Repeat("0", 39), strings.Repeat("0", 64) + "\n", strings.Repeat("G", 40)} {
		if IsDigest(text) {
			t.Errorf("%q is a digest", text)
		}
	}
}

func TestGetStoresUnderAnotherName(t *testing.T) {
	c, url := client(t, whole)
	file := sha256File("dir/model.bin")
	file.Stored = "blob"
	s := &Stage{Dir: t.TempDir(), Files: []File{file}}
	get := func(file File) error { return c.Get(t.Context(), url, file, s) }
	if err := s.Fill(t.Context(), get); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(s.Dir, "blob")); err != nil || string(got) != string(content) {
		t.Errorf("%q, %v", got, err)
	}
	if err := s.Fill(t.Context(), func(File) error { return errors.New("asked again") }); err != nil {
		t.Error(err)
	}
}

// What an earlier run left may be longer than the server's rest, or no part of the file at all.
func TestGetStartsAgain(t *testing.T) {
	for _, left := range []string{"012", "xyz", "0123456789", "01234567890123"} {
		c, url := client(t, whole)
		s := &Stage{Dir: t.TempDir()}
		if err := os.WriteFile(filepath.Join(s.Dir, "f.incomplete"), []byte(left), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := c.Get(t.Context(), url, sha256File("f"), s); err != nil {
			t.Errorf("%q: %v", left, err)
		}
	}
	// A server that knows no ranges, or refuses this one.
	for _, status := range []int{http.StatusOK, http.StatusRequestedRangeNotSatisfiable} {
		c, url := client(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.WriteHeader(status)
			}
			if r.Header.Get("Range") == "" || status == http.StatusOK {
				w.Write(content)
			}
		})
		s := &Stage{Dir: t.TempDir()}
		if err := os.WriteFile(filepath.Join(s.Dir, "f.incomplete"), []byte("012"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := c.Get(t.Context(), url, sha256File("f"), s); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
	c, url := client(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-9/10")
		w.WriteHeader(http.StatusPartialContent)
	})
	s := &Stage{Dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(s.Dir, "f.incomplete"), []byte("012"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), url, sha256File("f"), s); err == nil || err.Error() != `f: Content-Range is "bytes 0-9/10", want bytes 3-…` {
		t.Errorf("another range: %v", err)
	}
}

func TestHeadStaysAtHome(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other host was asked") }))
	defer other.Close()
	c, url := client(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/here":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/there":
			w.Header().Set("X-From", "home")
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	})
	if header, err := c.Head(t.Context(), url+"/here"); err != nil || header.Get("X-From") != "home" {
		t.Errorf("%v, %v", header, err)
	}
	if _, err := c.Head(t.Context(), url+"/loop"); err == nil || !strings.HasSuffix(err.Error(), "stopped after 10 redirects") {
		t.Errorf("loop: %v", err)
	}
	if _, err := c.Head(t.Context(), url+"/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b.lock")
	unlock, err := Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() {
		unlock, err := Lock(path)
		if err == nil {
			err = unlock()
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("locked twice: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
}

// Offline, the client itself makes no request, whoever asks it to.
func TestClientIsOffline(t *testing.T) {
	c, url := client(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	t.Setenv("HF_HUB_OFFLINE", "on")
	if _, err := c.Head(t.Context(), url); !errors.Is(err, ErrOffline) {
		t.Errorf("HEAD: %v", err)
	}
	if err := c.Get(t.Context(), url, File{Name: "x", Size: 1}, &Stage{Dir: t.TempDir()}); !errors.Is(err, ErrOffline) {
		t.Errorf("GET: %v", err)
	}
}
