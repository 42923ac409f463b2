package postgres_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/cairnlog/cairn/log"
	"github.com/cairnlog/cairn/merkle"
	"github.com/cairnlog/cairn/storage/storagetest"
)

// A proxy stands between a store and Postgres and can cut its connections.
type proxy struct {
	listener net.Listener
	network  string // of the server
	address  string

	mu    sync.Mutex
	conns []net.Conn
	// toServer decides, before a message of the client goes on, whether to cut.
	toServer atomic.Pointer[func(pgproto3.FrontendMessage) bool]
	// toClient likewise, for a message of the server.
	toClient atomic.Pointer[func(pgproto3.BackendMessage) bool]
}

// newProxy returns a proxy to the server of a URL, and the URL that goes through it.
func newProxy(t testing.TB, direct string) (*proxy, string) {
	t.Helper()
	config, err := pgx.ParseConfig(direct)
	if err != nil {
		t.Fatal(err)
	}
	p := new(proxy)
	p.network, p.address = pgconnAddress(config)
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.listener.Close()
		p.cut()
	})
	go func() {
		for {
			client, err := p.listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Del("host")
	query.Del("port")
	query.Set("sslmode", "disable") // to see the messages
	u.Host, u.RawQuery = p.listener.Addr().String(), query.Encode()
	return p, u.String()
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial(p.network, p.address)
	if err != nil {
		client.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	defer client.Close()
	defer server.Close()

	back := pgproto3.NewBackend(client, client)
	front := pgproto3.NewFrontend(server, server)
	startup, err := back.ReceiveStartupMessage()
	if err != nil {
		return
	}
	front.Send(startup)
	if front.Flush() != nil {
		return
	}
	go func() {
		defer client.Close()
		defer server.Close()
		for {
			m, err := front.Receive()
			if err != nil {
				return
			}
			if auth, ok := m.(pgproto3.AuthenticationResponseMessage); ok {
				setAuth(back, auth)
			}
			if f := p.toClient.Load(); f != nil && (*f)(m) {
				p.cut()
				return
			}
			back.Send(m)
			if back.Flush() != nil {
				return
			}
		}
	}()
	for {
		m, err := back.Receive()
		if err != nil {
			return
		}
		if f := p.toServer.Load(); f != nil && (*f)(m) {
			p.cut()
			return
		}
		front.Send(m)
		if front.Flush() != nil {
			return
		}
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func pgconnAddress(c *pgx.ConnConfig) (network, address string) {
	if len(c.Host) > 0 && c.Host[0] == '/' {
		return "unix", c.Host + "/.s.PGSQL." + strconv.Itoa(int(c.Port))
	}
	return "tcp", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}

// setAuth tells the parser of the client's messages which answer comes next.
func setAuth(back *pgproto3.Backend, m pgproto3.AuthenticationResponseMessage) {
	switch m.(type) {
	case *pgproto3.AuthenticationSASL:
		back.SetAuthType(pgproto3.AuthTypeSASL)
	case *pgproto3.AuthenticationSASLContinue:
		back.SetAuthType(pgproto3.AuthTypeSASLContinue)
	case *pgproto3.AuthenticationSASLFinal:
		back.SetAuthType(pgproto3.AuthTypeSASLFinal)
	case *pgproto3.AuthenticationMD5Password:
		back.SetAuthType(pgproto3.AuthTypeMD5Password)
	case *pgproto3.AuthenticationCleartextPassword:
		back.SetAuthType(pgproto3.AuthTypeCleartextPassword)
	}
}

// TestConnectionCut cuts the connection in the middle of a commit: before the
// end of the transaction was sent, and after, when only the server's answer
// is lost. Commit must not say that all went well, nor that nothing was
// written; and the batch is there whole or not at all.
func TestConnectionCut(t *testing.T) {
	t.Parallel()
	direct := storagetest.Postgres(t)
	plain := open(t, direct)
	p, through := newProxy(t, direct)
	s := open(t, through)
	head := log.Head{Identity: log.Identity{Origin: "log.example", TreeID: 1}, Tree: merkle.Tree{Root: merkle.EmptyRoot}, Checkpoint: []byte("0")}
	if err := plain.Create(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	next := func(old log.Head) *log.Batch {
		b := &log.Batch{Old: old, New: old}
		b.New.Tree.Size++
		b.New.Tree.Root[0]++
		b.New.Nonce[0]++
		b.Segments = []log.Segment{{Start: old.Tree.Size, Count: 1, Nonce: b.New.Nonce, Data: []byte("x")}}
		b.Keys = []log.KeyAt{{Key: log.Key{1}, Index: old.Tree.Size}}
		return b
	}
	sync := func(m pgproto3.FrontendMessage) bool { _, ok := m.(*pgproto3.Sync); return ok }
	execute := func(m pgproto3.FrontendMessage) bool { _, ok := m.(*pgproto3.Execute); return ok }
	bind := func(m pgproto3.FrontendMessage) bool { _, ok := m.(*pgproto3.Bind); return ok }
	complete := func(m pgproto3.BackendMessage) bool { _, ok := m.(*pgproto3.CommandComplete); return ok }
	ready := func(m pgproto3.BackendMessage) bool { _, ok := m.(*pgproto3.ReadyForQuery); return ok }
	for _, c := range []struct {
		name     string
		toServer func(pgproto3.FrontendMessage) bool
		toClient func(pgproto3.BackendMessage) bool
		there    bool
	}{
		{"before the first statement", bind, nil, false},
		{"after the first statement", execute, nil, false},
		{"before the end of the transaction", sync, nil, false},
		{"before the answer of the first statement", nil, complete, true},
		{"before the acknowledgement", nil, ready, true},
	} {
		p.toServer.Store(nil)
		p.toClient.Store(nil)
		// On a new connection, whose statements are prepared now: the next
		// commit is one round trip.
		for {
			b := next(head)
			if err := s.Commit(t.Context(), b); err == nil {
				head = b.New
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		b := next(head)
		if c.toServer != nil {
			p.toServer.Store(&c.toServer)
		}
		if c.toClient != nil {
			p.toClient.Store(&c.toClient)
		}
		err := s.Commit(t.Context(), b)
		if err == nil || errors.Is(err, log.ErrConflict) {
			t.Errorf("%s: Commit: %v, want an error that says nothing", c.name, err)
		}
		p.toServer.Store(nil)
		p.toClient.Store(nil)

		// The server may take a moment to see that the connection is gone.
		want := head
		if c.there {
			want = b.New
		}
		deadline := time.Now().Add(10 * time.Second)
		for {
			have, err := plain.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if have.Tree == want.Tree {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: size is %d, want %d", c.name, have.Tree.Size, want.Tree.Size)
			}
			time.Sleep(time.Millisecond)
		}
		found, err := plain.Find(t.Context(), []log.Key{{1}}, -1, 100)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(found[0])) != want.Tree.Size {
			t.Errorf("%s: %d keys in a log of %d", c.name, len(found[0]), want.Tree.Size)
		}
		head = want
	}
}

// TestAnswersStop has the server take a commit and not answer: the caller's
// context ends the wait.
func TestAnswersStop(t *testing.T) {
	t.Parallel()
	direct := storagetest.Postgres(t)
	p, through := newProxy(t, direct)
	s := open(t, through)
	hold := make(chan struct{})
	defer close(hold)
	stuck := func(pgproto3.BackendMessage) bool { <-hold; return true }
	if _, err := s.Head(t.Context()); !errors.Is(err, log.ErrNoLog) {
		t.Fatal(err)
	}
	p.toClient.Store(&stuck)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Head(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Head: %v, want the deadline", err)
	}
	if err := s.Commit(ctx, &log.Batch{}); err == nil || errors.Is(err, log.ErrConflict) {
		t.Errorf("Commit: %v, want an error that says nothing", err)
	}
}
