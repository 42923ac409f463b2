package checkpoint_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/cairnlog/cairn/checkpoint"
	"github.com/cairnlog/cairn/merkle"
)

const proofNote = "log.example\n8\nSBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=\n\n— log.example WuKdHAABAgMEBQ==\n"

func TestTLogProof(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := checkpoint.TLogProof{Index: rapid.Int64Range(0, 7).Draw(t, "index"), Checkpoint: []byte(proofNote)}
		if extra := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "extra"); len(extra) > 0 {
			p.Extra = extra
		}
		for i := range rapid.IntRange(0, 63).Draw(t, "hashes") {
			p.Hashes = append(p.Hashes, merkle.Hash(sha256.Sum256([]byte{byte(i)})))
		}
		text, err := p.Text()
		if err != nil {
			t.Fatal(err)
		}
		got, err := checkpoint.ParseTLogProof(text)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(p, got); d != "" {
			t.Errorf("another proof came back (-want +got):\n%s", d)
		}
	})
}

func TestParseTLogProofRefuses(t *testing.T) {
	t.Parallel()
	hash := "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=\n"
	good := checkpoint.TLogProofHeader + "extra aGVsbG8=\nindex 3\n" + hash + "\n" + proofNote
	if _, err := checkpoint.ParseTLogProof([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":                     "",
		"another version":           strings.Replace(good, "@v1", "@v2", 1),
		"text in front":             "\n" + good,
		"no index":                  strings.Replace(good, "index 3\n", "", 1),
		"extra after index":         strings.Replace(good, "extra aGVsbG8=\nindex 3\n", "index 3\nextra aGVsbG8=\n", 1),
		"two extras":                strings.Replace(good, "extra aGVsbG8=\n", "extra aGVsbG8=\nextra aGVsbG8=\n", 1),
		"empty extra":               strings.Replace(good, "aGVsbG8=", "", 1),
		"extra not in base64":       strings.Replace(good, "aGVsbG8=", "hello", 1),
		"extra with a return":       strings.Replace(good, "aGVsbG8=", "aGVs\rbG8=", 1),
		"index with a sign":         strings.Replace(good, "index 3", "index +3", 1),
		"index with a zero":         strings.Replace(good, "index 3", "index 03", 1),
		"negative index":            strings.Replace(good, "index 3", "index -3", 1),
		"index too large":           strings.Replace(good, "index 3", "index 9223372036854775808", 1),
		"index past the tree":       strings.Replace(good, "index 3", "index 8", 1),
		"short hash":                strings.Replace(good, hash, "aGVsbG8=\n", 1),
		"loose bits in a hash":      strings.Replace(good, hash, strings.Replace(hash, "I=", "J=", 1), 1),
		"too many hashes":           strings.Replace(good, hash, strings.Repeat(hash, 64), 1),
		"no blank line":             strings.Replace(good, "\n\n", "\n", 1),
		"no checkpoint":             checkpoint.TLogProofHeader + "index 3\n" + hash + "\n",
		"checkpoint without a line": strings.TrimSuffix(good, "\n— log.example WuKdHAABAgMEBQ==\n"),
		"truncated":                 good[:len(good)-1],
		"oversized":                 good + strings.Repeat(" ", 4<<20),
	} {
		if _, err := checkpoint.ParseTLogProof([]byte(text)); err == nil {
			t.Errorf("%s: was read", name)
		}
	}
}

func FuzzParseTLogProof(f *testing.F) {
	f.Add([]byte(checkpoint.TLogProofHeader + "extra aGVsbG8=\nindex 3\n\n" + proofNote))
	f.Add([]byte(checkpoint.TLogProofHeader + "index 0\nSBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=\n\n" + proofNote))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := checkpoint.ParseTLogProof(text)
		if err != nil {
			return
		}
		again, err := p.Text()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text, again) {
			t.Errorf("there are two texts of one proof:\n%q\n%q", text, again)
		}
	})
}
