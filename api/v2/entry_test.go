package v2

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/cairnlog/cairn/merkle"
)

func someEntry(hashes int) *Entry {
	e := &Entry{
		Index:      735,
		LogID:      []byte(strings.Repeat("\xfb", 32)),
		Kind:       "hashedrekord",
		Version:    "0.0.2",
		Tree:       merkle.Tree{Size: 1 << 53, Root: merkle.Hash{1, 2, 3}},
		Checkpoint: []byte("log.example\n9007199254740992\nAQID\n\n— log.example +/== \u2028<&>\"\\\n"),
		Body:       []byte(`{"<":1}`),
	}
	for i := range hashes {
		e.Hashes = append(e.Hashes, merkle.Hash{byte(i)})
	}
	return e
}

// TestEntry compares what is written with what the message is.
func TestEntry(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 40} {
		e := someEntry(n)
		want := &rekor.TransparencyLogEntry{
			LogIndex:    e.Index,
			LogId:       &common.LogId{KeyId: e.LogID},
			KindVersion: &rekor.KindVersion{Kind: e.Kind, Version: e.Version},
			InclusionProof: &rekor.InclusionProof{
				LogIndex: e.Index, RootHash: e.Tree.Root[:], TreeSize: e.Tree.Size,
				Checkpoint: &rekor.Checkpoint{Envelope: string(e.Checkpoint)},
			},
			CanonicalizedBody: e.Body,
		}
		for i := range e.Hashes {
			want.InclusionProof.Hashes = append(want.InclusionProof.Hashes, e.Hashes[i][:])
		}
		text := e.Append(nil)
		var got rekor.TransparencyLogEntry
		if err := protojson.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if d := cmp.Diff(want, &got, protocmp.Transform()); d != "" {
			t.Errorf("entry (-want +got):\n%s", d)
		}
		// Members and order are those of the library when it leaves none out.
		full, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := members(string(full)), members(string(text)); a != b {
			t.Errorf("members are\n%s, want\n%s", b, a)
		}
		again, err := ParseEntry(text)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, again); d != "" {
			t.Errorf("read back (-want +got):\n%s", d)
		}
	}
}

// members leaves of a JSON text without empty strings what is between names.
func members(text string) string {
	var b strings.Builder
	for i, part := range strings.Split(text, `"`) {
		if i%2 == 1 && len(part) < 20 || i%2 == 0 {
			b.WriteString(strings.ReplaceAll(strings.TrimSpace(part), " ", ""))
		}
	}
	return b.String()
}

func TestParseEntryRefuses(t *testing.T) {
	t.Parallel()
	good := string(someEntry(2).Append(nil))
	root := good[strings.Index(good, `"rootHash"`):strings.Index(good, `,"treeSize"`)]
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", ``, "unexpected token"},
		{"no JSON", `x`, "invalid value"},
		{"array", `[]`, "unexpected token"},
		{"no proof", `{"logIndex":"1"}`, "no inclusion proof"},
		{"short root", strings.Replace(good, root, `"rootHash":"AA=="`, 1), "root hash has 1 bytes"},
		{"no root", strings.Replace(good, root+",", ``, 1), "root hash has 0 bytes"},
		{"index of another", strings.Replace(good, `"logIndex":"735"`, `"logIndex":"734"`, 1), "index 734 is not that of the proof"},
		{"short hash", strings.Replace(good, `"hashes":[`, `"hashes":["AA==",`, 1), "hash of the proof has 1 bytes"},
		{"endless proof", strings.Replace(good, `"hashes":[`, `"hashes":[`+strings.Repeat(`"AA==",`, 64), 1), "proof has 66 hashes"},
		{"index is no number", strings.Replace(good, `"735"`, `"x"`, 1), "invalid value"},
	} {
		if e, err := ParseEntry([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v, want %q", tt.name, e, err, tt.want)
		}
	}
	// Members that are not known yet do no harm.
	if _, err := ParseEntry([]byte(strings.Replace(good, `{`, `{"new":1,`, 1))); err != nil {
		t.Error(err)
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, n := range []int{0, 3} {
		f.Add(someEntry(n).Append(nil))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := ParseEntry(text)
		if err != nil {
			return
		}
		again, err := ParseEntry(e.Append(nil))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if d := cmp.Diff(e, again); d != "" {
			t.Fatalf("%q read back (-before +after):\n%s", text, d)
		}
	})
}
