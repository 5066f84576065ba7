package hf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/metatt/metatt/pkg/download"
)

const defaultEndpoint = "https://huggingface.co"

// hub is a Hugging Face endpoint.
type hub struct {
	endpoint string
	client   *download.Client
}

func newHub() *hub {
	return &hub{
		endpoint: strings.TrimSuffix(cmp.Or(os.Getenv("HF_ENDPOINT"), defaultEndpoint), "/"),
		client:   &download.Client{Token: os.Getenv("HF_TOKEN"), Patience: download.Patience, Refused: refused},
	}
}

// address is that of one file at a revision, which may hold slashes.
func (h *hub) address(repo, revision, file string) string {
	return h.endpoint + "/" + repo + "/resolve/" + url.PathEscape(revision) + "/" + file
}

// bring downloads a known model's files at the head of its main branch.
func (h *hub) bring(ctx context.Context, repo string, s *download.Stage) error {
	return s.Fill(ctx, func(file download.File) error {
		return h.client.Get(ctx, h.address(repo, "main", file.Name), file, s)
	})
}

// maxHubFile bounds what a hub may call the size of a file: more than any model's.
const maxHubFile = 1 << 42

var commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// describe asks what a file is at a revision, and for the commit that the revision names.
func (h *hub) describe(ctx context.Context, repo, revision, name string) (file download.File, commit string, err error) {
	header, err := h.client.Head(ctx, h.address(repo, revision, name))
	if err != nil {
		return download.File{}, "", fmt.Errorf("%s: %w", name, err)
	}
	commit = header.Get("X-Repo-Commit")
	// Where a file lies elsewhere, its own checksum and size are said under these names.
	etag := cmp.Or(header.Get("X-Linked-Etag"), header.Get("ETag"))
	etag = strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
	length := cmp.Or(header.Get("X-Linked-Size"), header.Get("Content-Length"))
	size, err := strconv.ParseInt(length, 10, 64)
	switch {
	case !commitHash.MatchString(commit):
		return download.File{}, "", fmt.Errorf("%s: the answer is not a Hugging Face hub's: X-Repo-Commit is %.60q, want a commit", name, commit)
	case !download.IsDigest(etag):
		return download.File{}, "", fmt.Errorf("%s: the ETag %.100q is no checksum", name, etag)
	case err != nil || size < 0 || size > maxHubFile:
		return download.File{}, "", fmt.Errorf("%s: the size %.40q is none", name, length)
	}
	return download.File{Name: name, Stored: etag, Size: size, Digest: etag}, commit, nil
}

// refused says in the user's words what the hub means. It answers 401 to whoever asks without a token for a model that
// does not exist.
func refused(response *http.Response) error {
	status := fmt.Sprintf("%d %s", response.StatusCode, http.StatusText(response.StatusCode))
	switch code := response.Header.Get("X-Error-Code"); {
	case code == "GatedRepo":
		return fmt.Errorf("%s: the model is gated: ask for access on its page, then set HF_TOKEN", status)
	case code == "RevisionNotFound":
		return fmt.Errorf("%s: the model has no such revision", status)
	case response.StatusCode == http.StatusUnauthorized && response.Request.Header.Get("Authorization") != "":
		return fmt.Errorf("%s: HF_TOKEN is not valid", status)
	case code == "RepoNotFound" || response.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("%s: there is no such model, or it is private: then set HF_TOKEN", status)
	case response.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: %w", status, fs.ErrNotExist)
	}
	return errors.New(status)
}
