//go:build go1.24

package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// The service of service.http with net/http, as PROTOCOL.md says.

const (
	itemsCount   = 1000
	usersCount   = 16
	mostBody     = 64 << 10
	idleTime     = time.Minute
	shownLetters = 600
)

func noService() string { return needsLoad() }

func serviceHTTP(o order) (outcome, error) {
	backend, err := startHelper(append([]string{"backend"}, o.assignments()...)...)
	if err != nil {
		return outcome{}, err
	}
	// Its exit status does not matter to the lane: it may have been killed.
	defer backend.end(nil)
	return serveLoaded(o, backend.address)
}

func serveLoaded(o order, backend string) (outcome, error) {
	before := used()
	s, err := newService(o, backend)
	if err != nil {
		return outcome{}, err
	}
	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("THREADBARE_LISTEN"), "127.0.0.1:0"))
	if err != nil {
		return outcome{}, err
	}
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(listener) }()
	report, err := runLoad(append([]string{"load-service", "--address", listener.Addr().String()}, o.assignments()...)...)
	s.end()
	if serving := <-served; err == nil && !errors.Is(serving, http.ErrServerClosed) {
		err = serving
	}
	// Serve returns when the end begins; ended is closed when all requests are answered.
	<-s.ended
	if err != nil {
		return outcome{}, err
	}
	return report.outcome(before), nil
}

type service struct {
	server   *http.Server
	hashes   map[string][]byte
	rounds   int
	steps    int64
	timeout  time.Duration
	backend  string
	inFlight chan struct{}
	links    chan *link // A nil is a permit to open a connection.
	begun    chan struct{}
	ended    chan struct{}
}

func newService(o order, backend string) (*service, error) {
	s := &service{
		hashes: make(map[string][]byte), rounds: int(o.get("rounds_count")), steps: o.get("steps_count"),
		timeout: time.Duration(o.get("timeout_ns")), backend: backend,
		inFlight: make(chan struct{}, o.get("in_flight_count")), links: make(chan *link, o.get("pool_count")),
		begun: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	for n := range usersCount {
		user := fmt.Sprintf("u%d", n)
		hash, err := s.hash(user, "secret of "+user)
		if err != nil {
			return nil, err
		}
		s.hashes[user] = hash
	}
	for range o.get("pool_count") {
		s.links <- nil
	}
	mux := http.NewServeMux()
	for _, route := range []string{"cheap", "compute", "fan-out", "slow"} {
		mux.HandleFunc("POST /"+route, func(w http.ResponseWriter, r *http.Request) {
			body, err := s.reply(route, w, r)
			write(w, body, err)
		})
	}
	mux.HandleFunc("POST /drain", func(w http.ResponseWriter, _ *http.Request) {
		s.end()
		write(w, []byte("{}"), nil)
	})
	s.server = &http.Server{Handler: mux, IdleTimeout: idleTime, ReadHeaderTimeout: idleTime}
	return s, nil
}

// end begins the end, once. Requests in progress are still answered.
func (s *service) end() {
	select {
	case s.begun <- struct{}{}:
		go func() {
			defer close(s.ended)
			ctx, cancel := context.WithTimeout(context.Background(), idleTime)
			defer cancel()
			// An error means that a client did not read its answer; its connection is closed.
			if s.server.Shutdown(ctx) != nil {
				_ = s.server.Close()
			}
			s.closeLinks()
		}()
	default:
	}
}

func (s *service) closeLinks() {
	for {
		select {
		case l := <-s.links:
			if l != nil {
				_ = l.connection.Close()
			}
		default:
			return
		}
	}
}

// problem is the reason why there is no answer: a status and its text.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

var (
	errMalformed = &problem{http.StatusBadRequest, "this is no request of this service"}
	errUnknown   = &problem{http.StatusUnauthorized, "the key is wrong"}
	errTooMany   = &problem{http.StatusServiceUnavailable, "too many requests at the same time"}
	errBackend   = &problem{http.StatusBadGateway, "the backend did not answer"}
	errLate      = &problem{http.StatusGatewayTimeout, "the backend did not answer in time"}
)

func write(w http.ResponseWriter, body []byte, err error) {
	status := http.StatusOK
	if err != nil {
		why := errBackend
		_ = errors.As(err, &why)
		status, body = why.status, []byte(`{"error":"`+why.text+`"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // A client that has closed its connection needs no answer.
}

func (s *service) reply(route string, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	select {
	case s.inFlight <- struct{}{}:
		defer func() { <-s.inFlight }()
	default:
		return nil, errTooMany
	}
	user, err := s.who(r.Header.Get("Authorization"))
	if err != nil {
		return nil, err
	}
	var question struct {
		Item *int64 `json:"item"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBody)).Decode(&question); err != nil || question.Item == nil || *question.Item < 0 {
		return nil, errMalformed
	}
	item := *question.Item % itemsCount
	ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
	defer cancel()
	values, err := s.fetchAll(ctx, keys(route, item))
	if err != nil {
		return nil, err
	}
	var computed int64
	if route == "compute" {
		computed = lehmer(item, s.steps) % 1000
	}
	return newAnswer(route, user, item, computed, values)
}

// who returns the user of "Bearer USER:SECRET". It computes the hash of the secret.
func (s *service) who(authorization string) (string, error) {
	token, isBearer := strings.CutPrefix(authorization, "Bearer ")
	user, secret, isWhole := strings.Cut(token, ":")
	right, isKnown := s.hashes[user]
	if !isBearer || !isWhole || !isKnown {
		return "", errUnknown
	}
	given, err := s.hash(user, secret)
	if err != nil || subtle.ConstantTimeCompare(given, right) == 0 {
		return "", errUnknown
	}
	return user, nil
}

func (s *service) hash(user, secret string) ([]byte, error) {
	return pbkdf2.Key(sha256.New, secret, []byte(user), s.rounds, sha256.Size)
}

func keys(route string, item int64) []string {
	switch route {
	case "slow":
		return []string{"slow:" + decimal(item)}
	case "fan-out":
		key := func(n int64) string { return "item:" + decimal(n%itemsCount) }
		return []string{key(item), key(item + 1), key(item + 2)}
	}
	return []string{"item:" + decimal(item)}
}

// fetchAll gets all keys at once: the last by itself, and each other in a separate goroutine.
func (s *service) fetchAll(ctx context.Context, keys []string) ([][]byte, error) {
	last := len(keys) - 1
	if last == 0 {
		value, err := s.fetch(ctx, keys[last])
		return [][]byte{value}, err
	}
	values, failed := make([][]byte, len(keys)), make(chan error, last)
	for i, key := range keys[:last] {
		go func() {
			var err error
			values[i], err = s.fetch(ctx, key)
			failed <- err
		}()
	}
	var err error
	values[last], err = s.fetch(ctx, keys[last])
	for range last {
		if wrong := <-failed; err == nil {
			err = wrong
		}
	}
	return values, err
}

func (s *service) fetch(ctx context.Context, key string) ([]byte, error) {
	var l *link
	select {
	case l = <-s.links:
	case <-ctx.Done():
		return nil, errLate
	}
	value, left, err := s.fetchOn(ctx, l, key)
	s.links <- left
	return value, err
}

// fetchOn gets a key on this connection, or on a new one if there is none or the backend
// has closed it meanwhile. It also returns the connection for further use.
func (s *service) fetchOn(ctx context.Context, l *link, key string) ([]byte, *link, error) {
	for {
		isUsed := l != nil
		var err error
		if !isUsed {
			l, err = dial(ctx, s.backend)
		}
		var value []byte
		if err == nil {
			value, err = l.get(ctx, key)
		}
		var network net.Error
		switch {
		case err == nil && value == nil:
			return nil, l, errBackend
		case err == nil:
			return value, l, nil
		}
		if l != nil {
			_ = l.connection.Close()
			l = nil
		}
		switch {
		case errors.As(err, &network) && network.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
			return nil, nil, errLate
		case !isUsed:
			return nil, nil, errBackend
		}
	}
}

type link struct {
	connection net.Conn
	reader     *bufio.Reader
}

func dial(ctx context.Context, address string) (*link, error) {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &link{connection, bufio.NewReader(connection)}, nil
}

// get returns the value of a key, or nil if it has none.
func (l *link) get(ctx context.Context, key string) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := l.connection.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if _, err := fmt.Fprintf(l.connection, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key); err != nil {
		return nil, err
	}
	line, err := l.reader.ReadString('\n')
	if err != nil {
		return nil, err
	}
	text, isBulk := strings.CutPrefix(strings.TrimSuffix(line, "\r\n"), "$")
	size, err := strconv.Atoi(text)
	if !isBulk || err != nil || size < -1 || size > 1<<20 {
		return nil, fmt.Errorf("the backend answered %q", line)
	}
	if size == -1 {
		return nil, nil
	}
	value := make([]byte, size+2)
	if _, err := io.ReadFull(l.reader, value); err != nil {
		return nil, err
	}
	return value[:size], nil
}

// stored is the backend's record of an item.
type stored struct {
	ID    int64    `json:"id"`
	Name  string   `json:"name"`
	Price int64    `json:"price"`
	Tags  []string `json:"tags"`
	Text  string   `json:"text"`
}

// check is a number that depends on every field.
func (r *stored) check() int64 {
	words := strings.Count(r.Text, " ") + 1
	return r.ID + r.Price%1000 + int64(len(r.Name)+len(r.Tags)+words)
}

func newAnswer(route, user string, item, computed int64, values [][]byte) ([]byte, error) {
	answer := struct {
		Route   string   `json:"route"`
		User    string   `json:"user"`
		Item    int64    `json:"item"`
		Total   int64    `json:"total"`
		Records []stored `json:"records"`
		Check   int64    `json:"check"`
	}{route, user, item, 0, make([]stored, len(values)), computed}
	for i, value := range values {
		r := &answer.Records[i]
		if err := json.Unmarshal(value, r); err != nil {
			return nil, errBackend
		}
		answer.Total += r.Price
		answer.Check += r.check()
		r.Text = r.Text[:min(len(r.Text), shownLetters/len(values))]
	}
	return json.Marshal(answer)
}
