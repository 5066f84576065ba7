package download

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

const (
	// Patience is how long a server may stay silent, from dialling to the first byte and between two bytes: a dead one
	// must not cost more than five seconds.
	Patience = 4 * time.Second

	// attempts is how often one file may break off and be resumed.
	attempts = 5
)

// Client asks servers.
type Client struct {
	Token    string        // sent as Authorization to the host of a URL, never to where that redirects; "" for none
	Patience time.Duration // before a silent server is given up

	// Refused turns an answer that is no success into an error; nil for its status, which wraps [fs.ErrNotExist] where
	// it is 404.
	Refused func(*http.Response) error
}

// errBroken marks a transfer that broke off after it had begun.
var errBroken = errors.New("the connection broke off")

// Get brings one file into the stage, going on where an earlier attempt or an earlier run stopped.
func (c *Client) Get(ctx context.Context, url string, file File, s *Stage) error {
	part, err := s.resume(file)
	if err != nil {
		return err
	}
	defer part.close()
	resumed := part.size > 0
	for attempt := 1; ; attempt++ {
		before := part.size
		err = c.transfer(ctx, url, part)
		if err == nil {
			break
		}
		if !errors.Is(err, errBroken) || part.size == before || attempt == attempts {
			return fmt.Errorf("%s: %w", file.Name, err)
		}
	}
	err = part.commit()
	if wrong := (*ChecksumError)(nil); errors.As(err, &wrong) && resumed {
		// What the earlier run left may be the culprit; it is gone now.
		return c.Get(ctx, url, file, s)
	}
	return err
}

// Head asks for the headers alone. A redirect to another host is not followed: what is asked about is the answer of
// this one, which is then a redirect.
func (c *Client) Head(ctx context.Context, url string) (http.Header, error) {
	var header http.Header
	err := c.ask(ctx, http.MethodHead, url, 0, stayAtHome, func(response *http.Response, _ io.Reader) error {
		if response.StatusCode >= 400 {
			return c.refused(response)
		}
		header = response.Header
		return nil
	})
	return header, err
}

// ask makes one request, for the bytes from a place on, and has answer read the response. Silence ends it. It makes none
// where [Offline] is an error.
func (c *Client) ask(ctx context.Context, method, url string, from int64, redirect func(*http.Request, []*http.Request) error, answer func(*http.Response, io.Reader) error) error {
	if err := Offline(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := fmt.Errorf("no answer within %s", c.Patience)
	watchdog := time.AfterFunc(c.Patience, func() { cancel(silent) })
	defer watchdog.Stop()

	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	// Compressed, a file would have another length and other ranges.
	request.Header.Set("Accept-Encoding", "identity")
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if from > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	client := http.Client{CheckRedirect: redirect}
	response, err := client.Do(request)
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	defer response.Body.Close()
	err = answer(response, readerFunc(func(b []byte) (int, error) {
		n, err := response.Body.Read(b)
		watchdog.Reset(c.Patience)
		if err != nil && err != io.EOF {
			err = fmt.Errorf("%w: %w", errBroken, err)
		}
		return n, err
	}))
	return cmp.Or(context.Cause(ctx), err)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// transfer makes one request for what part still lacks and appends it.
func (c *Client) transfer(ctx context.Context, url string, part *partial) error {
	return c.ask(ctx, http.MethodGet, url, part.size, keepTokenAtHome, func(response *http.Response, body io.Reader) error {
		switch response.StatusCode {
		case http.StatusPartialContent:
			if want := fmt.Sprintf("bytes %d-", part.size); !strings.HasPrefix(response.Header.Get("Content-Range"), want) {
				return fmt.Errorf("Content-Range is %.100q, want %s…", response.Header.Get("Content-Range"), want)
			}
		case http.StatusOK: // the server sends all of it, asked or not
			if err := part.restart(); err != nil {
				return err
			}
		case http.StatusRequestedRangeNotSatisfiable: // there is no such rest: from the start, then
			if err := part.restart(); err != nil {
				return err
			}
			return fmt.Errorf("%w: %s", errBroken, status(response))
		default:
			return c.refused(response)
		}
		_, err := part.ReadFrom(body)
		return err
	})
}

func (c *Client) refused(response *http.Response) error {
	if c.Refused != nil {
		return c.Refused(response)
	}
	if response.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s: %w", status(response), fs.ErrNotExist)
	}
	return errors.New(status(response))
}

// status is the answer's code in our words: the server's could be anything.
func status(response *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", response.StatusCode, http.StatusText(response.StatusCode)))
}

// keepTokenAtHome drops the token when a redirect leaves the URL's own host. net/http would keep it for subdomains and
// other ports.
func keepTokenAtHome(request *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	if !sameHost(request, via[0]) {
		request.Header.Del("Authorization")
	}
	return nil
}

func stayAtHome(request *http.Request, via []*http.Request) error {
	if !sameHost(request, via[0]) {
		return http.ErrUseLastResponse
	}
	return keepTokenAtHome(request, via)
}

func sameHost(a, b *http.Request) bool {
	return a.URL.Host == b.URL.Host && a.URL.Scheme == b.URL.Scheme
}
