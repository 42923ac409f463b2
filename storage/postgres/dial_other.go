//go:build !linux

package postgres

import (
	"syscall"
	"time"
)

// setUserTimeout is for Linux; elsewhere keepalives have to do.
func setUserTimeout(syscall.RawConn, time.Duration) error { return nil }
