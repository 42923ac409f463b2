package pki

import (
	"bytes"
	"cmp"
	"crypto"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	gocmp "github.com/google/go-cmp/cmp"
)

// A pgpKey is a key that was made for a test.
type pgpKey struct {
	*openpgp.Entity
	order []string // of the user IDs
}

func newPGP(t testing.TB, c packet.Config, ids ...string) pgpKey {
	t.Helper()
	c.RSABits = cmp.Or(c.RSABits, 2048)
	created := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	c.Time = func() time.Time { return created }
	e, err := openpgp.NewEntity(ids[0], "", ids[0]+"@example.com", &c)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids[1:] {
		if err := e.AddUserId(id, "", id+"@example.com", &c); err != nil {
			t.Fatal(err)
		}
	}
	return pgpKey{e, ids}
}

// armored returns the public key with the user IDs in order.
func (k pgpKey) armored(t testing.TB) []byte {
	t.Helper()
	p := &PGP{keys: openpgp.EntityList{k.Entity}, userIDs: make([][]*openpgp.Identity, 1)}
	for _, id := range k.order {
		for _, i := range k.Identities {
			if i.UserId.Name == id {
				p.userIDs[0] = append(p.userIDs[0], i)
			}
		}
	}
	b, err := p.serialize()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (k pgpKey) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.DetachSign(&b, k.Entity, bytes.NewReader(message), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var ed25519PGP = packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA256}

// User IDs keep the order in which they come, whatever the library's map says.
func TestPGPUserIDs(t *testing.T) {
	t.Parallel()
	k := newPGP(t, ed25519PGP, "d", "b", "e", "a", "c")
	var forms []string
	for _, order := range [][]string{{"d", "b", "e", "a", "c"}, {"a", "b", "c", "d", "e"}} {
		k.order = order
		text := k.armored(t)
		var want []string
		for _, id := range order {
			want = append(want, id+"@example.com")
		}
		for range 10 {
			p, err := ParsePGP(text)
			if err != nil {
				t.Fatal(err)
			}
			if d := gocmp.Diff(want, p.Subjects()); d != "" {
				t.Fatalf("subjects (-want +got):\n%s", d)
			}
			forms = append(forms, string(p.Canonical()))
			again, err := ParsePGP(p.Canonical())
			if err != nil || string(again.Canonical()) != string(p.Canonical()) {
				t.Fatalf("the canonical form has another canonical form (%v)", err)
			}
			if _, err := p.VerifyDetached([]byte("x"), k.sign(t, []byte("x"))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := len(slices.Compact(forms)); n != 2 {
		t.Errorf("%d forms of two orders", n)
	}
}

// Several keys in one ring, one of them twice, and with a user ID twice.
func TestPGPRing(t *testing.T) {
	t.Parallel()
	a, b := newPGP(t, ed25519PGP, "a", "z"), newPGP(t, ed25519PGP, "b")
	packets := func(k pgpKey) []byte {
		block, err := armor.Decode(bytes.NewReader(k.armored(t)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(block.Body)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	bad := packets(a)
	bad[len(bad)-1] ^= 1 // its last signature
	ring := slices.Concat(bad, packets(a), packets(b), packets(a))
	p, err := ParsePGP(ring)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a@example.com", "z@example.com", "b@example.com", "a@example.com", "z@example.com"}
	if d := gocmp.Diff(want, p.Subjects()); d != "" {
		t.Errorf("subjects (-want +got):\n%s", d)
	}
	for _, k := range []pgpKey{a, b} {
		if _, err := p.VerifyDetached([]byte("x"), k.sign(t, []byte("x"))); err != nil {
			t.Error(err)
		}
	}
	other := newPGP(t, ed25519PGP, "c")
	if _, err := p.VerifyDetached([]byte("x"), other.sign(t, []byte("x"))); err == nil {
		t.Error("verified a signature by a key that is not in the ring")
	}
}

// v3 makes a signature packet of version 3.
func (k pgpKey) v3(t testing.TB, sigType packet.SignatureType, message []byte, created time.Time) []byte {
	t.Helper()
	seconds := uint32(created.Unix())
	hashed := []byte{byte(sigType), byte(seconds >> 24), byte(seconds >> 16), byte(seconds >> 8), byte(seconds)}
	digest := crypto.SHA256.New()
	digest.Write(message)
	digest.Write(hashed)
	sum := digest.Sum(nil)
	rsaKey := k.PrivateKey.PrivateKey.(crypto.Signer)
	sig, err := rsaKey.Sign(nil, sum, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	for len(sig) > 0 && sig[0] == 0 {
		sig = sig[1:]
	}
	bits := len(sig) * 8
	for x := sig[0]; x < 0x80; x <<= 1 {
		bits--
	}
	id := k.PrimaryKey.KeyId
	content := slices.Concat(
		[]byte{3, 5}, hashed,
		[]byte{byte(id >> 56), byte(id >> 48), byte(id >> 40), byte(id >> 32), byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)},
		[]byte{1, 8}, sum[:2], []byte{byte(bits >> 8), byte(bits)}, sig,
	)
	var b bytes.Buffer
	op := packet.OpaquePacket{Tag: tagSignature, Contents: content}
	if err := op.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPGPVersion3(t *testing.T) {
	t.Parallel()
	k := newPGP(t, packet.Config{Algorithm: packet.PubKeyAlgoRSA, KeyLifetimeSecs: 1000}, "a")
	p, err := ParsePGP(k.armored(t))
	if err != nil {
		t.Fatal(err)
	}
	now := k.PrimaryKey.CreationTime.Add(time.Minute)
	message := []byte("one\ntwo\r\n")
	good := k.v3(t, packet.SigTypeBinary, message, now)
	for _, tt := range []struct {
		name string
		sig  []byte
		want string
	}{
		{"binary", good, ""},
		{"text", k.v3(t, packet.SigTypeText, []byte("one\r\ntwo\r\n"), now), ""},
		{"of a certificate", k.v3(t, packet.SigTypeGenericCert, message, now), "signature type"},
		{"wrong message", k.v3(t, packet.SigTypeBinary, []byte("x"), now), "RSA verification failure"},
		{"after the key expired", k.v3(t, packet.SigTypeBinary, message, now.Add(time.Hour)), "expired"},
		{"after one by an unknown key", slices.Concat(newPGP(t, ed25519PGP, "b").sign(t, message), good), ""},
		{"cut off", good[:30], "EOF"},
		{"wrong length", append([]byte{good[0], good[1], good[2], 3, 6}, good[5:]...), "unsupported version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stored, err := p.VerifyDetached(message, tt.sig)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if err != nil {
				return
			}
			if again, err := p.VerifyDetached(message, stored); err != nil || !bytes.Equal(again, stored) {
				t.Errorf("the stored form: %v, %q", err, again)
			}
		})
	}
}

// What the library makes of text is the same with its lines ended before.
func TestPGPText(t *testing.T) {
	t.Parallel()
	k := newPGP(t, ed25519PGP, "a")
	p, err := ParsePGP(k.armored(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "\n", "a\nb\r\nc\rd\r\r\ne\r\r\r\n\n\r", strings.Repeat("x\n", 50_000)} {
		var sig bytes.Buffer
		if err := openpgp.DetachSignText(&sig, k.Entity, strings.NewReader(text), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := p.VerifyDetached([]byte(text), sig.Bytes()); err != nil {
			t.Errorf("%.40q: %v", text, err)
		}
		if err := p.VerifyPackets(iotest.OneByteReader(strings.NewReader(text)), sig.Bytes()); err != nil {
			t.Errorf("%.40q by bytes: %v", text, err)
		}
		if _, err := p.VerifyDetached([]byte("x"+text), sig.Bytes()); err == nil {
			t.Errorf("%.40q: verified another text", text)
		}
		// What follows the first signature by a known key does not matter.
		for _, more := range []string{"\n", sig.String(), string(k.sign(t, []byte("x")))} {
			if _, err := p.VerifyDetached([]byte(text), append(sig.Bytes(), more...)); err != nil {
				t.Errorf("%.40q: followed by %q: %v", text, more, err)
			}
		}
	}
}
