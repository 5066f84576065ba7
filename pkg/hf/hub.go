package hf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	defaultEndpoint = "https://huggingface.co"

	// hubPatience is how long the hub may stay silent, from dialling to the
	// first byte and between two bytes: a dead one must not cost more than 5 s.
	hubPatience = 4 * time.Second

	// hubAttempts is how often one file may break off and be resumed.
	hubAttempts = 5
)

// hub downloads from a Hugging Face endpoint.
type hub struct {
	endpoint string
	token    string
	offline  bool
	patience time.Duration
}

func newHub() *hub {
	return &hub{
		endpoint: strings.TrimSuffix(cmp.Or(os.Getenv("HF_ENDPOINT"), defaultEndpoint), "/"),
		token:    os.Getenv("HF_TOKEN"),
		offline:  isTrue(os.Getenv("HF_HUB_OFFLINE")),
		patience: hubPatience,
	}
}

// isTrue reads a switch as huggingface_hub does.
func isTrue(value string) bool {
	switch strings.ToUpper(value) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// bring downloads a model's files at the head of its main branch.
func (h *hub) bring(ctx context.Context, repo string, s *staging) error {
	if h.offline {
		return errors.New("HF_HUB_OFFLINE is set")
	}
	return s.fill(ctx, func(file knownFile) error {
		return h.download(ctx, h.endpoint+"/"+repo+"/resolve/main/"+file.name, file, s)
	})
}

// errBroken marks a transfer that broke off after it had begun.
var errBroken = errors.New("the connection broke off")

// download fetches one file, going on where an earlier attempt or an earlier
// run stopped.
func (h *hub) download(ctx context.Context, url string, file knownFile, s *staging) error {
	part, err := s.resume(file)
	if err != nil {
		return err
	}
	defer part.close()
	resumed := part.size > 0
	for attempt := 1; ; attempt++ {
		before := part.size
		err = h.transfer(ctx, url, part)
		if err == nil {
			break
		}
		if !errors.Is(err, errBroken) || part.size == before || attempt == hubAttempts {
			return fmt.Errorf("%s: %w", file.name, err)
		}
	}
	err = part.commit()
	if wrong := (*ChecksumError)(nil); errors.As(err, &wrong) && resumed {
		// What the earlier run left may be the culprit; it is gone now.
		return h.download(ctx, url, file, s)
	}
	return err
}

// transfer makes one request for what part still lacks and appends it.
func (h *hub) transfer(ctx context.Context, url string, part *partial) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := fmt.Errorf("no answer within %s", h.patience)
	watchdog := time.AfterFunc(h.patience, func() { cancel(silent) })
	defer watchdog.Stop()

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if h.token != "" {
		request.Header.Set("Authorization", "Bearer "+h.token)
	}
	if part.size > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", part.size))
	}
	client := http.Client{CheckRedirect: keepTokenAtHome}
	response, err := client.Do(request)
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusPartialContent:
		if want := fmt.Sprintf("bytes %d-", part.size); !strings.HasPrefix(response.Header.Get("Content-Range"), want) {
			return fmt.Errorf("Content-Range is %q, want %s…", response.Header.Get("Content-Range"), want)
		}
	case http.StatusOK: // the server sends all of it, asked or not
		if err := part.restart(); err != nil {
			return err
		}
	case http.StatusRequestedRangeNotSatisfiable:
		if err := part.restart(); err != nil {
			return err
		}
		return errors.New(response.Status)
	case http.StatusNotFound:
		return fmt.Errorf("%s: %w", response.Status, fs.ErrNotExist)
	default:
		return errors.New(response.Status)
	}
	_, err = part.ReadFrom(readerFunc(func(b []byte) (int, error) {
		n, err := response.Body.Read(b)
		watchdog.Reset(h.patience)
		if err != nil && err != io.EOF {
			err = fmt.Errorf("%w: %w", errBroken, err)
		}
		return n, err
	}))
	return cmp.Or(context.Cause(ctx), err)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// keepTokenAtHome drops the token when a redirect leaves the hub's own host.
// net/http would keep it for subdomains and other ports.
func keepTokenAtHome(request *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	if home := via[0].URL; request.URL.Host != home.Host || request.URL.Scheme != home.Scheme {
		request.Header.Del("Authorization")
	}
	return nil
}
