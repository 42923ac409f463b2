package entry

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/cairnlog/cairn/pki"
)

func FuzzRpmV001(f *testing.F) { fuzzKind(f, "rpm", "0.0.1") }

// FuzzVerifyRPM changes a package: there is an answer, and never a panic that
// gets out.
func FuzzVerifyRPM(f *testing.F) {
	s := newPGPSigner(f)
	key, err := pki.ParsePGP(s.public)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(newRPM(f, s).build())
	f.Fuzz(func(t *testing.T, pkg []byte) {
		if headers, err := verifyRPM(pkg, key); (headers == nil) == (err == nil) {
			t.Fatalf("verifyRPM: %v, %v", headers, err)
		}
	})
}

// A pgpSigner is an OpenPGP key with one user ID, test@example.com.
type pgpSigner struct {
	*openpgp.Entity
	public []byte // armored
}

func newPGPSigner(t testing.TB) pgpSigner {
	t.Helper()
	e, err := openpgp.NewEntity("test", "", "test@example.com", &packet.Config{RSABits: 2048})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err == nil {
		err = e.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return pgpSigner{e, b.Bytes()}
}

func (s pgpSigner) detached(t testing.TB, message []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.DetachSign(&b, s.Entity, bytes.NewReader(message), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// version3 makes a signature packet of version 3, RFC 9580, 5.2.2.
func (s pgpSigner) version3(t testing.TB, message []byte) []byte {
	t.Helper()
	hashed := binary.BigEndian.AppendUint32([]byte{0}, uint32(time.Now().Unix()))
	sum := sha256.Sum256(slices.Concat(message, hashed))
	sig, err := rsa.SignPKCS1v15(nil, s.PrivateKey.PrivateKey.(*rsa.PrivateKey), crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig = bytes.TrimLeft(sig, "\x00")
	bits := len(sig) * 8
	for x := sig[0]; x < 0x80; x <<= 1 {
		bits--
	}
	content := slices.Concat([]byte{3, 5}, hashed, binary.BigEndian.AppendUint64(nil, s.PrimaryKey.KeyId),
		[]byte{1, 8}, sum[:2], binary.BigEndian.AppendUint16(nil, uint16(bits)), sig)
	var b bytes.Buffer
	if err := (&packet.OpaquePacket{Tag: 2, Contents: content}).Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A rpmIndexed is a tag of a header with its data.
type rpmIndexed struct {
	tag, dataType, count int
	data                 []byte
}

func rpmText(tag int, s string) rpmIndexed { return rpmIndexed{tag, 6, 1, []byte(s + "\x00")} }

// rpmHeader makes a header. A tag without data lies where the one before it is.
func rpmHeader(tags []rpmIndexed, pad bool) []byte {
	var index, data []byte
	last := 0
	for _, t := range tags {
		for t.dataType == 4 && len(data)%4 != 0 {
			data = append(data, 0)
		}
		if t.data != nil {
			last = len(data)
		}
		for _, n := range []int{t.tag, t.dataType, last, t.count} {
			index = binary.BigEndian.AppendUint32(index, uint32(n))
		}
		data = append(data, t.data...)
	}
	b := []byte{0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint32(b, uint32(len(tags)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	b = slices.Concat(b, index, data)
	for pad && len(data)%8 != 0 {
		b, data = append(b, 0), append(data, 0)
	}
	return b
}

// A rpmFile makes a package: the signatures are made with it.
type rpmFile struct {
	signatures, header []rpmIndexed
	payload            []byte
}

func (r rpmFile) build() []byte {
	lead := make([]byte, rpmLead)
	copy(lead, "\xed\xab\xee\xdb\x03\x00")
	return slices.Concat(lead, rpmHeader(r.signatures, true), rpmHeader(r.header, false), r.payload)
}

func newRPM(t testing.TB, s pgpSigner) rpmFile {
	t.Helper()
	payload := []byte("payload")
	sum := sha256.Sum256(payload)
	r := rpmFile{payload: payload, header: []rpmIndexed{
		rpmText(1000, "name"), rpmText(1001, "1.2"), rpmText(1002, "3"), rpmText(1022, "noarch"),
		{5092, 8, 1, []byte(hex.EncodeToString(sum[:]) + "\x00")}, {5093, 4, 1, []byte{0, 0, 0, 8}},
	}}
	r.sign(t, s)
	return r
}

// sign signs the header.
func (r *rpmFile) sign(t testing.TB, s pgpSigner) {
	t.Helper()
	r.signatures = []rpmIndexed{binaryTag(268, s.detached(t, rpmHeader(r.header, false)))}
}

func binaryTag(tag int, data []byte) rpmIndexed { return rpmIndexed{tag, 7, len(data), data} }

func TestRPM(t *testing.T) {
	t.Parallel()
	s := newPGPSigner(t)
	r := newRPM(t, s)
	header := rpmHeader(r.header, false)
	old := s.version3(t, header)
	oldAll := s.version3(t, slices.Concat(header, r.payload))
	md5 := binaryTag(1004, []byte{0xab, 0xcd})
	for _, tt := range []struct {
		name       string
		signatures []rpmIndexed
		text       string // in the body
	}{
		{"version 4", r.signatures, `"headers":{"Architecture":"noarch","Epoch":"0","Name":"name","Release":"3","Version":"1.2"}`},
		{"version 3 over the header", []rpmIndexed{binaryTag(268, old)}, `"Name":"name"`},
		{"version 3 over all", []rpmIndexed{binaryTag(1002, oldAll)}, `"Name":"name"`},
		{"both", []rpmIndexed{r.signatures[0], binaryTag(1002, oldAll)}, `"Name":"name"`},
		{"MD5 in the signatures", append(slices.Clone(r.signatures), md5), `"RPMSIGTAG_MD5":"abcd"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := r
			r.signatures = tt.signatures
			c, err := Check(NewRPM(r.build(), s.public), Options{})
			if err != nil {
				t.Fatal(err)
			}
			checkSound(t, c)
			if !strings.Contains(string(c.Body), tt.text) || !slices.Contains(c.Terms, "test@example.com") {
				t.Errorf("body %s, terms %q", c.Body, c.Terms)
			}
		})
	}
}

type hostilePackage struct {
	name string
	pkg  []byte
	text string
}

func hostileRPMs(t testing.TB, s pgpSigner) []hostilePackage {
	with := func(change func(r *rpmFile)) []byte {
		r := newRPM(t, s)
		change(&r)
		return r.build()
	}
	header := func(tags ...rpmIndexed) []byte {
		return with(func(r *rpmFile) { r.header = append(r.header, tags...) })
	}
	many := make([]rpmIndexed, maxRPMTags-10)
	for i := range many {
		many[i] = rpmIndexed{10_000 + i, 7, 1, nil}
	}
	zeros := make([]byte, 6<<20)
	sized := newRPM(t, s).build()
	binary.BigEndian.PutUint32(sized[rpmLead+12:], 0xfffffff0)
	counted := newRPM(t, s).build()
	binary.BigEndian.PutUint32(counted[rpmLead+8:], 0x10000001)
	return []hostilePackage{
		{"no tags that are there", counted, "the limit is 65535"},
		{"no data that is there", sized, "error reading RPM header data"},
		{"too many tags", header(append(many, many...)...), "the limit is 65535"},
		{"as many tags as there may be", header(many...), "RSA verification failure"},
		{"strings that overlap", header(rpmIndexed{3000, 8, len(zeros), zeros}, rpmIndexed{3001, 8, len(zeros), nil}), "overlap"},
		{"many strings", header(rpmIndexed{3000, 8, len(zeros), zeros}), "RSA verification failure"},
		{"many names", with(func(r *rpmFile) { r.header[0] = rpmIndexed{1000, 8, len(zeros), zeros} }), "tag 1000 of the RPM header has 6291456 strings"},
		{"no name", with(func(r *rpmFile) { r.header[0].count = 0; r.sign(t, s) }), "has 0 strings"},
		{"name is a number", with(func(r *rpmFile) { r.header[0].dataType = 2; r.sign(t, s) }), "unsupported datatype for string"},
		{"negative count", header(rpmIndexed{3000, 7, -1, nil}), "lies outside"},
		{"count beyond the end", header(rpmIndexed{3000, 5, 1 << 30, nil}), "lies outside"},
		{"string without end", header(rpmIndexed{3000, 6, 1, []byte("x")}), "tag 3000 is truncated"},
		{"signature twice", with(func(r *rpmFile) { r.signatures = append(r.signatures, r.signatures[0]) }), "is twice"},
		{"signature too large", with(func(r *rpmFile) { r.signatures = []rpmIndexed{binaryTag(268, zeros)} }), "the limit is 65536"},
		{"signature is a key", with(func(r *rpmFile) {
			var b bytes.Buffer
			if err := s.PrimaryKey.Serialize(&b); err != nil {
				t.Fatal(err)
			}
			r.signatures = []rpmIndexed{binaryTag(268, b.Bytes())}
		}), "no supported PGP signature packet found"},
		{"old signature is wrong", with(func(r *rpmFile) { r.signatures = []rpmIndexed{binaryTag(268, s.version3(t, nil))} }), "invalid signature"},
		{"old signature of another", with(func(r *rpmFile) {
			r.signatures = []rpmIndexed{binaryTag(268, newPGPSigner(t).version3(t, rpmHeader(r.header, false)))}
		}), "unknown entity"},
		{"one of two signatures is wrong", with(func(r *rpmFile) {
			r.signatures = append(r.signatures, binaryTag(1002, s.version3(t, nil)))
		}), "invalid signature"},
		{"no signature", with(func(r *rpmFile) { r.signatures = nil }), "no supported PGP signature found in RPM"},
		{"no digest", with(func(r *rpmFile) { r.header = r.header[:4]; r.sign(t, s) }), "no usable payload digest found"},
		{"lead only", with(func(*rpmFile) {})[:rpmLead], "error reading RPM header"},
		{"no lead", make([]byte, rpmLead), "file is not an RPM"},
		{"nothing", []byte("x"), "error reading RPM lead"},
		{"payload of 7 MiB", with(func(r *rpmFile) { r.payload = make([]byte, 7<<20) }), "payload SHA-256 digest mismatch"},
	}
}

func TestRPMRefuses(t *testing.T) {
	t.Parallel()
	s := newPGPSigner(t)
	for _, h := range hostileRPMs(t, s) {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			refused(t, NewRPM(h.pkg, s.public), Options{}, Invalid, h.text)
		})
	}
	pkg := newRPM(t, s).build()
	for n := range len(pkg) { // cut off anywhere
		if c, err := Check(NewRPM(pkg[:n], s.public), Options{}); err == nil {
			t.Fatalf("%d bytes of %d: %s", n, len(pkg), c.Body)
		}
	}
	junk := make([]byte, 1000)
	_, _ = rand.Read(junk)
	refused(t, NewRPM(pkg, junk), Options{}, Invalid, "PGP public key")
}

func BenchmarkRPM(b *testing.B) {
	s := newPGPSigner(b)
	for _, h := range append(hostileRPMs(b, s), hostilePackage{name: "sane", pkg: newRPM(b, s).build()}) {
		b.Run(h.name, func(b *testing.B) {
			p := NewRPM(h.pkg, s.public)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Check(p, Options{}) // most are refused
			}
		})
	}
}
