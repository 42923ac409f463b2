package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// A yardstick is what one processor takes for the work that no log can leave
// out: to parse the certificate of an entry, to verify its signature, and to
// sign a promise. In microseconds.
type yardstick struct {
	Parse  float64 `json:"parse_us"`
	Verify float64 `json:"verify_us"`
	Sign   float64 `json:"sign_us"`
}

func (y yardstick) sum() float64 { return y.Parse + y.Verify + y.Sign }

// mean returns what two measurements say together.
func (y yardstick) mean(o yardstick) yardstick {
	return yardstick{(y.Parse + o.Parse) / 2, (y.Verify + o.Verify) / 2, (y.Sign + o.Sign) / 2}
}

// measureYardstick measures each part for at least the given time, on one
// thread and in that thread's own time, so that other load disturbs little.
func measureYardstick(samples []forged, each time.Duration) (yardstick, error) {
	var y yardstick
	if len(samples) == 0 {
		return y, errors.New("measure yardstick: no certificates")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return y, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, part := range []struct {
		us *float64
		do func(e *forged) error
	}{
		{&y.Parse, func(e *forged) error {
			_, err := x509.ParseCertificate(e.cert)
			return err
		}},
		{&y.Verify, func(e *forged) error {
			if !ecdsa.VerifyASN1(&e.key.PublicKey, e.digest[:], e.signature) {
				return errors.New("a signature does not verify")
			}
			return nil
		}},
		{&y.Sign, func(e *forged) error {
			_, err := ecdsa.SignASN1(rand.Reader, key, e.digest[:])
			return err
		}},
	} {
		run := func(d time.Duration) (int, time.Duration, error) {
			start, n := threadTime(), 0
			for {
				for range 50 {
					if err := part.do(&samples[n%len(samples)]); err != nil {
						return 0, 0, err
					}
					n++
				}
				if t := threadTime() - start; t >= d {
					return n, t, nil
				}
			}
		}
		if _, _, err := run(each / 10); err != nil { // warm up
			return y, fmt.Errorf("measure yardstick: %w", err)
		}
		n, t, err := run(each)
		if err != nil {
			return y, fmt.Errorf("measure yardstick: %w", err)
		}
		*part.us = float64(t.Nanoseconds()) / 1e3 / float64(n)
	}
	return y, nil
}
