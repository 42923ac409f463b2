package pki

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"
)

// opaque makes a packet.
func opaque(t testing.TB, tag uint8, content ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	op := packet.OpaquePacket{Tag: tag, Contents: slices.Concat(content...)}
	if err := op.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func mpi(bits int) []byte {
	b := bytes.Repeat([]byte{0xff}, bits/8)
	return append([]byte{byte(bits >> 8), byte(bits)}, b...)
}

// A hostile key must be refused, or read, in reasonable time and memory.
type hostileKey struct {
	name, format string
	text         []byte
	want         string // error, "" if it can be read
}

func hostileKeys(t testing.TB) []hostileKey {
	t.Helper()
	k := newPGP(t, ed25519PGP, "a")
	var key bytes.Buffer
	if err := k.PrimaryKey.Serialize(&key); err != nil {
		t.Fatal(err)
	}
	var identity *openpgp.Identity
	for _, identity = range k.Identities {
	}
	var id, sig bytes.Buffer
	if err := identity.UserId.Serialize(&id); err != nil {
		t.Fatal(err)
	}
	if err := identity.SelfSignature.Serialize(&sig); err != nil {
		t.Fatal(err)
	}
	one := slices.Concat(key.Bytes(), id.Bytes(), sig.Bytes())
	fill := func(head, more []byte) []byte {
		return append(slices.Clone(head), bytes.Repeat(more, (maxKeyRing-len(head))/len(more))...)
	}
	time4 := []byte{0x60, 0, 0, 0}
	// selfSigned makes a key with numbers of as many bits, and a signature by it
	// that says it is over the user ID.
	selfSigned := func(algorithm byte, signature []byte, numbers ...int) []byte {
		content := append([]byte{4}, append(time4, algorithm)...)
		for _, n := range numbers {
			content = append(content, mpi(n)...)
		}
		key := opaque(t, tagKey, content)
		p, err := packet.Read(bytes.NewReader(key))
		if err != nil {
			t.Fatal(err)
		}
		issuer := binary.BigEndian.AppendUint64([]byte{9, 16}, p.(*packet.PublicKey).KeyId)
		sig := opaque(t, tagSignature, []byte{4, 0x13, algorithm, 8, 0, 6, 5, 2}, time4, []byte{0, 10}, issuer, []byte{0, 0}, signature)
		return slices.Concat(key, id.Bytes(), sig)
	}
	created := append([]byte{5, 2}, time4...)
	nested := []byte{4, 0x19, 22, 8, 0, 6, 5, 2, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	for len(nested) < 60_000 {
		n := len(nested) + 1
		nested = slices.Concat([]byte{4, 0x19, 22, 8, 0, 6}, created,
			[]byte{byte((n + 5) >> 8), byte(n + 5), 255, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), 32}, nested,
			[]byte{0, 0, 0, 0, 0, 0})
	}
	sshRSA := func(bits int) []byte {
		n := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1))
		blob := ssh.Marshal(struct {
			Type string
			E, N *big.Int
		}{"ssh-rsa", big.NewInt(65537), n})
		return []byte("ssh-rsa " + base64.StdEncoding.EncodeToString(blob))
	}

	return []hostileKey{
		{"10 MiB of armor", "pgp", []byte(pgpBegin + " PUBLIC KEY BLOCK-----\n\n" + strings.Repeat("AAAA\n", 2<<20)), "the limit is"},
		{"armor without an end", "pgp", []byte(pgpBegin + strings.Repeat("\n"+pgpBegin, 10_000)), "no PGP public keys"},
		{"many blocks", "pgp", bytes.Repeat([]byte(pgpBegin+" PUBLIC KEY BLOCK-----\n\n"+pgpEnd+" PUBLIC KEY BLOCK-----\n"), 3000), "no PGP public keys"},
		{"many keys", "pgp", fill(nil, one), "too many signatures"},
		{"many user IDs", "pgp", fill(one, id.Bytes()), "4096 packets"},
		{"several thousand user IDs", "pgp", append(slices.Clone(one), bytes.Repeat(id.Bytes(), 4000)...), ""},
		{"many signed user IDs", "pgp", fill(one, slices.Concat(id.Bytes(), sig.Bytes())), "too many signatures"},
		{"many signatures", "pgp", fill(one, sig.Bytes()), "too many signatures"},
		{"many empty packets", "pgp", fill(one, []byte{0xc0 | 63, 0}), "4096 packets"},
		{"many bad packets", "pgp", fill(one, []byte{0xc0 | tagKey, 0}), "4096 packets"},
		{"secret key", "pgp", opaque(t, tagSecretKey, []byte{4}, make([]byte, 20)), "secret key"},
		{"signature of version 6 with 4 GiB", "pgp", append(slices.Clone(one), opaque(t, tagSignature, []byte{6, 0x13, 27, 8, 0xff, 0xff, 0xff, 0xff})...), "malformed PGP signature"},
		{"signatures in signatures", "pgp", append(slices.Clone(one), opaque(t, tagSignature, nested)...), "malformed PGP signature"},
		{"packet in a packet", "pgp", append(slices.Clone(one), opaque(t, tagMarker, []byte("PGP"), one)...), "bytes too many"},
		{"compressed packet", "pgp", append(slices.Clone(one), opaque(t, 8, []byte{1, 2, 3})...), "packet of type 8"},
		{"huge RSA key", "pgp", selfSigned(1, mpi(256), 65_528, 16), "too many signatures"},
		{"huge DSA key", "pgp", selfSigned(17, append(mpi(256), mpi(256)...), 16_000, 16_000, 16_000, 16_000), "too many signatures"},
		{"huge RSA key", "ssh", sshRSA(40_000), "no key found"},
		{"large RSA key", "ssh", sshRSA(8200), "limit is 8192"},
		{"10 MiB of comments", "ssh", bytes.Repeat([]byte("# x\n"), 10<<18), "the limit is"},
		{"10 MiB", "minisign", bytes.Repeat([]byte("x\n"), 10<<19), "the limit is"},
		{"10 MiB", "pkcs7", bytes.Repeat([]byte{0x30, 0x80}, 10<<19), "the limit is"},
		{"nested", "pkcs7", bytes.Repeat([]byte{0x30, 0x80}, 1<<18), "asn1"},
	}
}

func TestHostileKeys(t *testing.T) {
	t.Parallel()
	for _, h := range hostileKeys(t) {
		t.Run(h.format+" "+h.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(h.format, h.text)
			if h.want == "" && err != nil || h.want != "" && (err == nil || !strings.Contains(err.Error(), h.want)) {
				t.Errorf("error %v, want %q", err, h.want)
			}
		})
	}
}

// BenchmarkHostileText is a signature over text, which the library hashes line
// by line.
func BenchmarkHostileText(b *testing.B) {
	k := newPGP(b, ed25519PGP, "a")
	p, err := ParsePGP(k.armored(b))
	if err != nil {
		b.Fatal(err)
	}
	message := bytes.Repeat([]byte("\n"), 10<<20)
	var sig bytes.Buffer
	if err := openpgp.DetachSignText(&sig, k.Entity, bytes.NewReader(message), nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.VerifyDetached(message, sig.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHostileKeys shows what each costs: at most 200 ms and 64 MiB.
func BenchmarkHostileKeys(b *testing.B) {
	for _, h := range hostileKeys(b) {
		b.Run(h.format+" "+h.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Parse(h.format, h.text)
			}
		})
	}
}
