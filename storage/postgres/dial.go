package postgres

import (
	"context"
	"net"
	"strings"
	"syscall"
	"time"
)

// deadPeer is after how long a connection ends whose other side has gone
// without a word. A commit is never cancelled, so nothing else would end it.
const deadPeer = 20 * time.Second

// dial connects to the database.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: deadPeer / 2, Interval: deadPeer / 4, Count: 2},
		Control: func(network, _ string, c syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			return setUserTimeout(c, deadPeer)
		},
	}
	return d.DialContext(ctx, network, address)
}
