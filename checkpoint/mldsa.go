package checkpoint

import (
	"crypto"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"filippo.io/mldsa"
)

// With ML-DSA-44 logs and witnesses sign alike: not the text of a checkpoint,
// but the range of leaves that it covers, with a time.
// https://c2sp.org/tlog-cosignature

// subtreeLabel is what all these messages begin with.
const subtreeLabel = "subtree/v1\n\x00"

// maxSubtreeName is the longest name or origin in bytes: one byte has its length.
const maxSubtreeName = math.MaxUint8

// subtreeMessage returns what is signed about the text of a checkpoint.
func subtreeMessage(name string, seconds uint64, text []byte) ([]byte, error) {
	c, err := parseText(string(text))
	switch {
	case err != nil:
		return nil, err
	case len(c.Extra) > 0 || c.Text() != string(text):
		return nil, errors.New("ML-DSA-44 does not cover further lines of a checkpoint")
	case len(name) > maxSubtreeName:
		return nil, fmt.Errorf("name of %d bytes", len(name))
	case len(c.Origin) > maxSubtreeName:
		return nil, fmt.Errorf("origin of %d bytes", len(c.Origin))
	}
	m := append(make([]byte, 0, 128), subtreeLabel...)
	m = append(m, byte(len(name)))
	m = append(m, name...)
	m = binary.BigEndian.AppendUint64(m, seconds)
	m = append(m, byte(len(c.Origin)))
	m = append(m, c.Origin...)
	m = binary.BigEndian.AppendUint64(m, 0) // the first leaf
	m = binary.BigEndian.AppendUint64(m, uint64(c.Tree.Size))
	return append(m, c.Tree.Root[:]...), nil
}

// signSubtree signs the text of a checkpoint as of now.
func signSubtree(name string, key crypto.Signer, text []byte) ([]byte, error) {
	seconds := uint64(max(time.Now().Unix(), 0))
	m, err := subtreeMessage(name, seconds, text)
	if err != nil {
		return nil, err
	}
	sig, err := key.Sign(rand.Reader, m, crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, timeSize+len(sig)), seconds), sig...), nil
}

// verifySubtree says whether sig is a timestamped signature of the text of a
// checkpoint.
func verifySubtree(name string, pub *mldsa.PublicKey, text, sig []byte) bool {
	if len(sig) != timeSize+mldsa.MLDSA44SignatureSize {
		return false
	}
	seconds := binary.BigEndian.Uint64(sig)
	if seconds > math.MaxInt64 {
		return false
	}
	m, err := subtreeMessage(name, seconds, text)
	return err == nil && mldsa.Verify(pub, m, sig[timeSize:], nil) == nil
}
