package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"
)

// Bounds on what a server may answer.
const (
	maxAnswerHeader = 64 << 10
	maxAnswerBody   = 64 << 20
)

// An httpConn is one connection of a load client. It speaks as much HTTP/1.1
// as that takes and costs a fifth of what net/http would: the load client
// shares its processors with the server that it measures.
type httpConn struct {
	addr string
	conn net.Conn // nil when there is none
	in   *bufio.Reader
	body []byte
}

// An answer is what came back for a request. Its body is valid until the
// connection's next request.
type answer struct {
	status int
	body   []byte
	close  bool // the server closes the connection after it
}

// dial connects if there is no connection.
func (c *httpConn) dial(ctx context.Context) error {
	if c.conn != nil {
		return nil
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return err
	}
	c.conn = conn
	if c.in == nil {
		c.in = bufio.NewReaderSize(nil, 16<<10)
	}
	c.in.Reset(conn)
	return nil
}

func (c *httpConn) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// do sends a request and reads the answer. After an error the connection is
// closed, and the next request makes a new one.
func (c *httpConn) do(ctx context.Context, request []byte, timeout time.Duration) (answer, error) {
	if err := c.dial(ctx); err != nil {
		return answer{}, err
	}
	err := c.conn.SetDeadline(time.Now().Add(timeout))
	if err == nil {
		_, err = c.conn.Write(request)
	}
	var a answer
	if err == nil {
		a, err = readAnswer(c.in, c.body)
		c.body = a.body
	}
	if err != nil || a.close {
		c.hangUp()
	}
	return a, err
}

var errAnswer = errors.New("answer is not HTTP/1.1 as it should be")

// readAnswer reads one answer to a request that was not HEAD. The body is
// appended to buf[:0].
func readAnswer(r *bufio.Reader, buf []byte) (answer, error) {
	a := answer{body: buf[:0]}
	for {
		length, chunked, err := readHeader(r, &a)
		if err != nil {
			return a, err
		}
		switch {
		case a.status < 200: // an interim answer; the real one follows
			if a.status == 101 {
				return a, errAnswer
			}
			continue
		case a.status == 204 || a.status == 304:
			return a, nil
		case chunked:
			return a, readChunks(r, &a)
		case length >= 0:
			return a, readBody(r, &a, length)
		}
		// Neither: the body ends with the connection.
		a.close = true
		b, err := io.ReadAll(io.LimitReader(r, maxAnswerBody+1))
		if a.body = append(a.body, b...); err == nil && len(a.body) > maxAnswerBody {
			err = errAnswer
		}
		return a, err
	}
}

// readHeader reads a status line and header. A length of -1 means that there
// is none.
func readHeader(r *bufio.Reader, a *answer) (length int64, chunked bool, err error) {
	line, err := readLine(r)
	if err != nil {
		return 0, false, err
	}
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[8] != ' ' {
		return 0, false, errAnswer
	}
	a.status, err = strconv.Atoi(string(line[9:12]))
	if err != nil || a.status < 100 || len(line) > 12 && line[12] != ' ' {
		return 0, false, errAnswer
	}
	a.close = line[7] == '0'
	length = -1
	for size := 0; size < maxAnswerHeader; size += len(line) {
		if line, err = readLine(r); err != nil {
			return 0, false, err
		}
		if len(line) == 0 {
			return length, chunked, nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return 0, false, errAnswer
		}
		value = bytes.TrimSpace(value)
		switch { // by length first: most lines are none of these
		case len(name) == 14 && bytes.EqualFold(name, []byte("Content-Length")):
			n, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil || n > maxAnswerBody || length >= 0 && length != int64(n) {
				return 0, false, errAnswer
			}
			length = int64(n)
		case len(name) == 17 && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			if chunked = bytes.EqualFold(value, []byte("chunked")); !chunked {
				return 0, false, errAnswer
			}
		case len(name) == 10 && bytes.EqualFold(name, []byte("Connection")):
			a.close = a.close || bytes.EqualFold(value, []byte("close"))
		}
	}
	return 0, false, errAnswer
}

// readLine reads a line without its end. It is valid until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			err = errAnswer
		}
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

func readBody(r *bufio.Reader, a *answer, n int64) error {
	at := len(a.body)
	if int64(len(a.body))+n > maxAnswerBody {
		return errAnswer
	}
	// Memory grows with what arrives, not with what was announced.
	for n > 0 {
		step := int(min(n, 1<<20))
		if free := cap(a.body) - at; free < step {
			a.body = append(a.body[:at], make([]byte, step)...)
		}
		a.body = a.body[:at+step]
		if _, err := io.ReadFull(r, a.body[at:]); err != nil {
			a.body = a.body[:at]
			return err
		}
		at, n = at+step, n-int64(step)
	}
	return nil
}

func readChunks(r *bufio.Reader, a *answer) error {
	for {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 31)
		if err != nil {
			return errAnswer
		}
		if n == 0 {
			break
		}
		if err := readBody(r, a, int64(n)); err != nil {
			return err
		}
		if line, err = readLine(r); err != nil {
			return err
		}
		if len(line) > 0 {
			return errAnswer
		}
	}
	for size := 0; size < maxAnswerHeader; { // trailer
		line, err := readLine(r)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		size += len(line)
	}
	return errAnswer
}

// loopback finds the address of a server on this machine. It refuses any
// other unless the caller says that the server is theirs: load on a log that
// others use is an attack.
func loopback(ctx context.Context, u *url.URL, mine bool) (addr string, err error) {
	if u.Scheme != "http" || u.Hostname() == "" {
		return "", usage("bench speaks plain HTTP only: give --server a URL like http://127.0.0.1:3000")
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", u.Hostname())
	if err != nil {
		return "", &ExitError{exitTrouble, fmt.Errorf("find %s: %w", u.Hostname(), err)}
	}
	for _, ip := range ips {
		if !ip.IsLoopback() && !mine {
			return "", usage("%s is not on this machine; if you operate it and nobody else uses it, say so with --my-own-server", u.Host)
		}
	}
	// The address that was looked at is the one that is dialled.
	return net.JoinHostPort(ips[0].String(), port), nil
}
