package differential

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what apk signs
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/veraison/go-cose"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/ssh"
)

// An object is a JSON object.
type object = map[string]any

// makers make the spec of a proposal that is signed for the purpose: what is
// signed can be changed then, and is still accepted.
var makers = map[string]func(m *mutator, version string) any{
	"hashedrekord": makeHashedRekord,
	"rekord":       makeRekord,
	"dsse":         makeDSSE,
	"intoto":       makeIntoto,
	"cose":         makeCOSE,
	"helm":         makeHelm,
	"alpine":       makeAPK,
	"rpm":          makeRPM,
	"tuf":          makeTUF,
}

func content(b []byte) object { return object{"content": tobase64(b)} }

func makeHashedRekord(m *mutator, _ string) any {
	s := pick(m, m.keys.x509)
	h := pick(m, []crypto.Hash{crypto.SHA256, crypto.SHA256, crypto.SHA384, crypto.SHA512})
	message := []byte("artifact")
	w := h.New()
	w.Write(message)
	value := hex.EncodeToString(w.Sum(nil))
	if m.oneIn(5) {
		value = strings.ToUpper(value)
	}
	var sig []byte
	if m.oneIn(4) {
		sig = s.signature(message)
	} else if pub, ok := s.Public().(*rsa.PublicKey); ok && pub.Size() >= 256 && m.oneIn(5) {
		sig = must(s.Sign(rand.Reader, w.Sum(nil), &rsa.PSSOptions{Hash: h, SaltLength: rsa.PSSSaltLengthEqualsHash}))
	} else {
		if _, ok := s.Public().(ed25519.PublicKey); ok {
			h = crypto.SHA512
		}
		sig = s.signHash(message, h)
	}
	return object{
		"data":      object{"hash": object{"algorithm": fmt.Sprintf("sha%d", len(value)*4), "value": value}},
		"signature": object{"content": tobase64(sig), "publicKey": content(s.key(m))},
	}
}

func makeRekord(m *mutator, _ string) any {
	message := []byte("text \r\nof lines\t\n")
	format := pick(m, []string{"pgp", "pgp", "pgp", "x509", "ssh", "minisign"})
	var key, sig []byte
	switch format {
	case "pgp":
		e := pick(m, m.keys.pgp)
		var b bytes.Buffer
		sign := openpgp.DetachSign
		if m.oneIn(4) {
			sign = openpgp.DetachSignText
		}
		must(0, sign(&b, e, bytes.NewReader(message), nil))
		key, sig = m.pgpKey(e), b.Bytes()
		if m.oneIn(5) {
			sig = m.changePackets(sig, m.ring(pick(m, m.keys.pgp)))
		}
		if m.oneIn(2) {
			sig = toArmor("PGP SIGNATURE", sig)
		}
	case "x509":
		s := pick(m, m.keys.x509)
		key, sig = s.key(m), s.signature(message)
	case "ssh":
		key, sig = m.signSSH(message)
	case "minisign":
		key, sig = m.signMinisign(message)
	}
	return object{
		"data":      content(message),
		"signature": object{"format": format, "content": tobase64(sig), "publicKey": content(key)},
	}
}

func (m *mutator) signSSH(message []byte) (key, sig []byte) {
	s, err := ssh.NewSignerFromSigner(pick(m, m.keys.x509))
	for err != nil { // P-224 has no name in SSH
		s, err = ssh.NewSignerFromSigner(pick(m, m.keys.x509))
	}
	magic, namespace, hash := "SSHSIG", "file", "sha512"
	sum := sha512.Sum512(message)
	digest := sum[:]
	switch m.IntN(12) {
	case 0:
		namespace = "git"
	case 1:
		short := sha256.Sum256(message)
		hash, digest = "sha256", short[:]
	case 2:
		magic = "SSHSIK"
	}
	signed := slices.Concat([]byte(magic), ssh.Marshal(struct{ Namespace, Reserved, Hash, Digest string }{namespace, "", hash, string(digest)}))
	var signature *ssh.Signature
	if a, ok := s.(ssh.AlgorithmSigner); ok && s.PublicKey().Type() == ssh.KeyAlgoRSA {
		signature, err = a.SignWithAlgorithm(rand.Reader, signed, pick(m, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}))
	} else {
		signature, err = s.Sign(rand.Reader, signed)
	}
	if err != nil { // a key of 1,024 bits is too short for one of them
		return m.signSSH(message)
	}
	blob := slices.Concat([]byte(magic), ssh.Marshal(struct {
		Version                              uint32
		Key, Namespace, Reserved, Hash, Blob string
	}{1, string(s.PublicKey().Marshal()), namespace, "", hash, string(ssh.Marshal(*signature))}))
	key = ssh.MarshalAuthorizedKey(s.PublicKey())
	if m.oneIn(3) {
		key = append(bytes.TrimSpace(key), " someone@example.com\n"...)
	}
	if m.oneIn(8) {
		key = m.changeLines(append([]byte("# comment\n"), key...))
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: blob})
}

func (m *mutator) signMinisign(message []byte) (key, sig []byte) {
	var s *signer
	for _, s = range m.keys.x509 {
		if _, ok := s.Public().(ed25519.PublicKey); ok {
			break
		}
	}
	algorithm := pick(m, []string{"Ed", "ED"})
	if algorithm == "ED" {
		sum := blake2b.Sum512(message)
		message = sum[:]
	}
	value := must(s.Sign(rand.Reader, message, crypto.Hash(0)))
	packed := tobase64(slices.Concat([]byte("Ed12345678"), s.Public().(ed25519.PublicKey)))
	keyText := pick(m, []string{"untrusted comment: key\n" + packed + "\n", packed, string(s.Public().(ed25519.PublicKey)), "untrusted comment: \n" + packed})
	lines := "untrusted comment: signature\n" + tobase64(slices.Concat([]byte(algorithm+"12345678"), value)) + "\n"
	if m.oneIn(2) {
		lines += "trusted comment: time\n" + tobase64(make([]byte, 64)) + "\n"
	}
	return []byte(keyText), []byte(lines)
}

const inToto = "application/vnd.in-toto+json"

// statement is in-toto's, and a provenance of SLSA.
const statement = `{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://slsa.dev/provenance/v0.2",
"subject":[{"name":"foo","digest":{"sha256":"11","SHA512":"AB"}},{"name":"bar","digest":{"gitCommit":"dead"}}],
"predicate":{"builder":{"id":"b"},"buildType":"t","invocation":{"configSource":{"uri":"u","digest":{"sha1":"x"},"entryPoint":"e"},
"parameters":{"a":1},"environment":[1]},"buildConfig":5,"metadata":{"buildInvocationID":"i","buildStartedOn":"2020-01-01T00:00:00Z",
"buildFinishedOn":"2020-01-01T00:00:00Z","completeness":{"parameters":true,"environment":false,"materials":true},"reproducible":true},
"materials":[{"uri":"git+https://x","digest":{"sha1":"22"}},{"uri":"y","digest":{"sha1":"33"}}]}}`

// envelope seals a statement with some changes, or none.
func (m *mutator) envelope() (e dsse.Envelope, signers []*signer) {
	v, _ := decode([]byte(statement))
	for range m.IntN(4) {
		v = m.change(v, nil)
	}
	var payload bytes.Buffer
	m.write(&payload, v)
	e = dsse.Envelope{PayloadType: inToto, Payload: tobase64(payload.Bytes())}
	if m.oneIn(10) {
		e.PayloadType = "text/plain"
	}
	for range 1 + m.IntN(8)/6 {
		s := pick(m, m.keys.x509)
		signers = append(signers, s)
		e.Signatures = append(e.Signatures, dsse.Signature{Sig: tobase64(s.signature(dsse.PAE(e.PayloadType, payload.Bytes())))})
	}
	return e, signers
}

func makeDSSE(m *mutator, _ string) any {
	e, signers := m.envelope()
	var verifiers []any
	for _, s := range signers {
		verifiers = append(verifiers, tobase64(s.key(m)))
	}
	return object{"proposedContent": object{"envelope": string(encode(e)), "verifiers": verifiers}}
}

func makeIntoto(m *mutator, version string) any {
	e, signers := m.envelope()
	if version == "0.0.1" {
		return object{"content": object{"envelope": string(encode(e))}, "publicKey": tobase64(signers[0].key(m))}
	}
	var signatures []any
	for i, s := range signers {
		signatures = append(signatures, object{"sig": tobase64([]byte(e.Signatures[i].Sig)), "publicKey": tobase64(s.key(m))})
	}
	return object{"content": object{
		"envelope": object{"payloadType": e.PayloadType, "payload": tobase64([]byte(e.Payload)), "signatures": signatures},
		"hash":     object{"algorithm": "sha256", "value": hex.EncodeToString(sha256.New().Sum(nil))},
	}}
}

func makeCOSE(m *mutator, _ string) any {
	s := pick(m, m.keys.x509)
	algorithm := cose.AlgorithmES256
	switch pub := s.Public().(type) {
	case *rsa.PublicKey:
		algorithm = cose.AlgorithmPS256
	case ed25519.PublicKey:
		algorithm = cose.AlgorithmEdDSA
	case *ecdsa.PublicKey:
		if pub.Curve == elliptic.P384() {
			algorithm = cose.AlgorithmES384
		}
	}
	signer, err := cose.NewSigner(algorithm, s.Signer)
	if err != nil {
		return makeCOSE(m, "") // a key that is too short
	}
	headers := cose.Headers{Protected: cose.ProtectedHeader{cose.HeaderLabelAlgorithm: algorithm}, Unprotected: cose.UnprotectedHeader{}}
	switch m.IntN(6) {
	case 0, 1:
		headers.Protected[cose.HeaderLabelContentType] = inToto
	case 2:
		headers.Protected[cose.HeaderLabelContentType] = uint(50)
	case 3:
		headers.Unprotected["x"] = m.IntN(100)
	case 4:
		headers.Protected[cose.HeaderLabelCritical] = []any{"x"}
		headers.Protected["x"] = "y"
	}
	v, _ := decode([]byte(statement))
	for range m.IntN(3) {
		v = m.change(v, nil)
	}
	payload := encode(v)
	if m.oneIn(10) {
		payload = []byte{}
	}
	aad := []byte(pick(m, []string{"", "aad"}))
	message, err := cose.Sign1(rand.Reader, signer, headers, payload, aad)
	if err != nil {
		return makeCOSE(m, "") // headers that must not be
	}
	data := object{}
	if len(aad) > 0 {
		data["aad"] = tobase64(aad)
	}
	return object{"message": tobase64(message), "publicKey": tobase64(s.key(m)), "data": data}
}

func makeHelm(m *mutator, _ string) any {
	e := pick(m, m.keys.pgp)
	var text strings.Builder
	for range m.IntN(3) {
		text.WriteString(pick(m, []string{"apiVersion: v2\n", "name: x\n", "- y \n", "a: [1]\n", "...\n", "\n"}))
	}
	text.WriteString(pick(m, []string{"\n...\n", "\n...\n", "\n...\n", "\n... \n", "\r\n...\r\n", ""}))
	text.WriteString(pick(m, []string{"files:\n", "files:\n", "files:\n", "Files:\n", "files: {}\n", "FILES:\n", "files: [a]\n", "other: 5\nfiles:\n", "files: &a\n"}))
	hash := strings.Repeat("ab", 32)
	for range m.IntN(8) / 3 {
		text.WriteString(pick(m, []string{
			"  a.tgz: sha256:" + hash + "\n", "  a.tgz: sha256:" + hash + "\n", "  b.tgz: sha256:" + strings.ToUpper(hash) + "\n", "  c: \"sha256:" + hash + "\"\n",
			"  d: sha512:" + hash + "\n", "  e: sha256\n", "  f: 5\n", "  ? [1]\n  : x:y\n", "  g: 'sha256:00'\n", "  <<: {h: sha256:11}\n", "  true: sha256:22\n", "  i: sha256: 33\n",
			"  j: !!binary c2hhMjU2OjQ0\n", "  k: >\n    sha256:55\n", "  a.tgz: sha256:" + hash[:10] + "\n", "  l:\n", "\tm: x\n",
		}))
	}
	text.WriteString(pick(m, []string{"", "", "", "\n...\nx: y\n", "  \n", "---\n"}))
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, e.PrivateKey, nil)
	if err != nil {
		panic(err) // all of these keys sign
	}
	must(w.Write([]byte(text.String())))
	must(0, w.Close())
	prov := b.Bytes()
	if m.oneIn(8) {
		prov = m.changeLines(prov)
	}
	return object{"chart": object{"provenance": content(prov)}, "publicKey": content(m.pgpKey(e))}
}

// makeAPK makes a package whose .PKGINFO is made of what an INI parser minds.
func makeAPK(m *mutator, _ string) any {
	s := pick(m, m.keys.x509)
	data := gzipped([]byte("data"))
	sum := sha256.Sum256(data)
	hash := fmt.Sprintf("datahash = %x\n", sum)
	var text bytes.Buffer
	if m.oneIn(2) {
		text.WriteString(hash)
	}
	tokens := []string{"a", "b", "key", " = ", "=", ":", "\n", "\n", "\n", "\\\n", "\"", "'", "`", `"""`, "#", ";", "[s]", "[", "]", "[DEFAULT]", "%(a)s", "-", " ", "\t",
		"\r\n", "\xff", "é", "\u2028", "\U0001F600", "\x00", "<&>", "\\", "\ufeff", "\u0085", "datahash = 00\n"}
	for range m.IntN(10) {
		if m.oneIn(2) {
			text.WriteString(tokens[m.IntN(3)] + " = ")
		}
		for range m.IntN(4) {
			text.WriteString(pick(m, tokens))
		}
		if !m.oneIn(4) {
			text.WriteString("\n")
		}
	}
	text.WriteString("\n" + hash)

	info := file{".PKGINFO", text.Bytes()}
	control := []file{info}
	switch m.IntN(8) {
	case 0:
		control = []file{{".pre-install", []byte("x")}, info, {".post", nil}}
	case 1:
		control = []file{info, {".PKGINFO", []byte(hash + "z = 1\n")}}
	}
	controlGz := gzipped(m.tar(control))
	digest := sha1.Sum(controlGz)
	var sig []byte
	if _, ok := s.Public().(ed25519.PublicKey); ok {
		sig = must(s.Sign(rand.Reader, controlGz, crypto.Hash(0)))
	} else {
		sig = must(s.Sign(rand.Reader, digest[:], crypto.SHA1))
	}
	if m.oneIn(4) {
		sig = pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: sig})
	}
	signature := []file{{".SIGN.RSA.x", sig}}
	if m.oneIn(8) {
		signature = []file{{"x", nil}, signature[0], {".SIGN.other", []byte("y")}}
	}
	pkg := slices.Concat(gzipped(m.tar(signature)), controlGz, data)
	if m.oneIn(6) {
		pkg = m.changeAPK(pkg)
	}
	return object{"package": content(pkg), "publicKey": content(s.key(m))}
}

// makeRPM makes a package with some of the tags that are stored.
func makeRPM(m *mutator, _ string) any {
	e := pick(m, m.keys.pgp)
	payload := []byte("payload")
	sum := sha256.Sum256(payload)
	text := func(tag int, s string) rpmTag { return rpmTag{tag, 6, 1, []byte(s + "\x00")} }
	tags := []rpmTag{
		text(1000, pick(m, []string{"name", "", "é", "n\xff", "<&>"})), text(1001, "1.2"), text(1002, "3"), text(1022, pick(m, []string{"noarch", "x86_64"})),
		{5092, 8, 1, []byte(hex.EncodeToString(sum[:]) + "\x00")}, {5093, 4, 1, []byte{0, 0, 0, 8}},
	}
	if m.oneIn(3) {
		tags = append(tags, rpmTag{1003, 4, 1, []byte{0, 0, 0, byte(m.IntN(3))}}) // epoch
	}
	switch i := m.IntN(len(tags)); m.IntN(8) {
	case 0:
		tags = slices.Delete(tags, i, i+1)
	case 1:
		tags = append(tags, tags[i])
	case 2:
		tags[i].dataType = m.IntN(10)
	case 3:
		tags[i].count = m.IntN(3)
	}
	header := rpmHeader(tags, false)
	sign := func(message []byte) []byte {
		var b bytes.Buffer
		must(0, openpgp.DetachSign(&b, e, bytes.NewReader(message), nil))
		return b.Bytes()
	}
	var signatures []rpmTag
	if !m.oneIn(4) {
		sig := sign(header)
		signatures = append(signatures, rpmTag{268 + m.IntN(6)/5, 7, len(sig), sig})
	}
	if m.oneIn(3) {
		sig := sign(slices.Concat(header, payload))
		signatures = append(signatures, rpmTag{1002 + 3*(m.IntN(6)/5), 7, len(sig), sig})
	}
	if m.oneIn(3) {
		signatures = append(signatures, rpmTag{1004, 7, 16, must(hex.DecodeString("00112233445566778899aabbccddeeff"))}) // MD5
	}
	lead := make([]byte, 96)
	copy(lead, "\xed\xab\xee\xdb\x03\x00")
	pkg := slices.Concat(lead, rpmHeader(signatures, true), header, payload)
	if m.oneIn(6) {
		pkg = m.changeRPM(pkg)
	}
	return object{"package": content(pkg), "publicKey": content(m.pgpKey(e))}
}

// A rpmTag is a tag of a header with its data.
type rpmTag struct {
	tag, dataType, count int
	data                 []byte
}

func rpmHeader(tags []rpmTag, pad bool) []byte {
	var index, data []byte
	for _, t := range tags {
		for t.dataType == 4 && len(data)%4 != 0 {
			data = append(data, 0)
		}
		for _, n := range []int{t.tag, t.dataType, len(data), t.count} {
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
