package bundle_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/cairnlog/cairn/bundle"
	"github.com/cairnlog/cairn/trust"
)

// A tree is JSON that can be changed by path.
type tree map[string]any

func (t tree) at(path string) (tree, string) {
	var v any = map[string]any(t)
	parts := strings.Split(path, ".")
	for _, p := range parts[:len(parts)-1] {
		if list, ok := v.([]any); ok {
			v = list[int(p[0]-'0')]
			continue
		}
		v = v.(map[string]any)[p]
	}
	return v.(map[string]any), parts[len(parts)-1]
}

func (t tree) set(path string, v any) {
	m, last := t.at(path)
	m[last] = v
}

func (t tree) text(path string) string {
	m, last := t.at(path)
	return m[last].(string)
}

func (t tree) replace(path, old, new string) {
	s := t.text(path)
	if !strings.Contains(s, old) {
		panic(path + " does not contain " + old)
	}
	t.set(path, strings.Replace(s, old, new, 1))
}

// flip changes the last byte of a value in base64.
func (t tree) flip(path string) {
	b, err := base64.StdEncoding.DecodeString(t.text(path))
	if err != nil {
		panic(err)
	}
	b[len(b)-1] ^= 1
	t.set(path, base64.StdEncoding.EncodeToString(b))
}

func parseTree(t testing.TB, path string) tree {
	t.Helper()
	var v tree
	if err := json.Unmarshal(read(t, path), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	logEntry   = "verificationMaterial.tlogEntries.0"
	inclusion  = logEntry + ".inclusionProof"
	happyPath  = "testdata/conformance/rekor2-happy-path.json"
	happyDSSE  = "testdata/conformance/rekor2-dsse-happy-path.json"
	stamp      = "verificationMaterial.timestampVerificationData.rfc3161Timestamps.0.signedTimestamp"
	certBytes  = "verificationMaterial.certificate.rawBytes"
	checkpoint = inclusion + ".checkpoint.envelope"
)

// TestLies changes what is true in a bundle, one thing at a time.
func TestLies(t *testing.T) {
	t.Parallel()
	other := parseTree(t, happyDSSE)
	for name, c := range map[string]struct {
		file   string
		change func(tree)
		want   string // in the error
	}{
		"media type of the future":     {happyPath, func(b tree) { b.replace("mediaType", "v0.3", "v0.4") }, "media type"},
		"no media type":                {happyPath, func(b tree) { b.set("mediaType", "") }, "media type"},
		"no log entry":                 {happyPath, func(b tree) { b.set("verificationMaterial.tlogEntries", []any{}) }, "none of a log"},
		"no inclusion proof":           {happyPath, func(b tree) { b.set(inclusion, nil) }, "no inclusion proof"},
		"no checkpoint":                {happyPath, func(b tree) { b.set(inclusion+".checkpoint", nil) }, "checkpoint"},
		"empty checkpoint":             {happyPath, func(b tree) { b.set(checkpoint, "") }, "checkpoint"},
		"truncated checkpoint":         {happyPath, func(b tree) { b.set(checkpoint, b.text(checkpoint)[:90]) }, "checkpoint"},
		"unsigned checkpoint":          {happyPath, func(b tree) { b.set(checkpoint, strings.Split(b.text(checkpoint), "—")[0]) }, "checkpoint"},
		"wrong signature of the log":   {happyPath, func(b tree) { b.replace(checkpoint, "j1mjNN674", "j1mjNN675") }, "does not verify"},
		"another origin":               {happyPath, func(b tree) { b.replace(checkpoint, "log2025", "log2026") }, "checkpoint"},
		"another origin and name":      {happyPath, func(b tree) { b.set(checkpoint, strings.ReplaceAll(b.text(checkpoint), "log2025", "log2026")) }, "not the log of the id"},
		"root that is not signed":      {happyPath, func(b tree) { b.flip(inclusion + ".rootHash") }, "not the checkpoint's"},
		"size that is not signed":      {happyPath, func(b tree) { b.set(inclusion+".treeSize", "737") }, "not the checkpoint's"},
		"wrong index":                  {happyPath, func(b tree) { b.set(inclusion+".logIndex", "734") }, "does not lead"},
		"wrong index beside the proof": {happyPath, func(b tree) { b.set(logEntry+".logIndex", "734") }, "index 734"},
		"negative index":               {happyPath, func(b tree) { b.set(logEntry+".logIndex", "-1") }, "negative"},
		"index past the tree":          {happyPath, func(b tree) { b.set(inclusion+".logIndex", "736") }, "does not lead"},
		"hash left out":                {happyPath, func(b tree) { m, k := b.at(inclusion + ".hashes"); m[k] = m[k].([]any)[1:] }, "does not lead"},
		"short hash":                   {happyPath, func(b tree) { b.set(inclusion+".hashes", []any{"AAAA"}) }, "3 bytes"},
		"endless proof": {happyPath, func(b tree) {
			m, k := b.at(inclusion + ".hashes")
			h := m[k].([]any)[0]
			for range 100 {
				m[k] = append(m[k].([]any), h)
			}
		}, "longer than any tree"},
		"another log's id":    {happyPath, func(b tree) { b.flip(logEntry + ".logId.keyId") }, "not trusted"},
		"no log id":           {happyPath, func(b tree) { b.set(logEntry+".logId", nil) }, "no log id"},
		"another kind":        {happyPath, func(b tree) { b.set(logEntry+".kindVersion.kind", "dsse") }, "its body is"},
		"changed body":        {happyPath, func(b tree) { b.flip(logEntry + ".canonicalizedBody") }, "does not lead"},
		"no body":             {happyPath, func(b tree) { b.set(logEntry+".canonicalizedBody", "") }, "no body"},
		"other entry's proof": {happyPath, func(b tree) { m, _ := other.at(inclusion); b.set(inclusion, m["inclusionProof"]) }, "does not lead"},
		"other entry": {happyPath, func(b tree) {
			m, _ := other.at(logEntry + ".x")
			b.set("verificationMaterial.tlogEntries", []any{map[string]any(m)})
		}, "not of this signature"},
		"promise that nobody made": {happyPath, func(b tree) { b.set(logEntry+".inclusionPromise", map[string]any{"signedEntryTimestamp": "AAAA"}) }, "promise"},
		"same entry twice": {happyPath, func(b tree) {
			m, k := b.at("verificationMaterial.tlogEntries")
			m[k] = append(m[k].([]any), m[k].([]any)...)
		}, "twice"},
		"other certificate": {happyPath, func(b tree) { b.set(certBytes, other.text(certBytes)) }, "not of this signature"},
		"no certificate":    {happyPath, func(b tree) { b.set("verificationMaterial.certificate", nil) }, "neither a certificate nor a key"},
		"certificate chain": {happyPath, func(b tree) {
			m, _ := b.at(certBytes)
			b.set("verificationMaterial.certificate", nil)
			b.set("verificationMaterial.x509CertificateChain", map[string]any{"certificates": []any{map[string]any(m)}})
		}, "no chain"},
		"other signature":          {happyPath, func(b tree) { b.flip("messageSignature.signature") }, "not of this signature"},
		"no signature":             {happyPath, func(b tree) { b.set("messageSignature.signature", "") }, "empty"},
		"other digest":             {happyPath, func(b tree) { b.flip("messageSignature.messageDigest.digest") }, "entry is of artifact"},
		"digest of another length": {happyPath, func(b tree) { b.set("messageSignature.messageDigest.digest", "AAAA") }, "digest"},
		"unknown digest":           {happyPath, func(b tree) { b.set("messageSignature.messageDigest.algorithm", "SHA3_256") }, "digest"},
		"no content":               {happyPath, func(b tree) { b.set("messageSignature", nil) }, "neither a message signature"},
		"no timestamp":             {happyPath, func(b tree) { b.set("verificationMaterial.timestampVerificationData", nil) }, "nobody who is trusted says when"},
		"changed timestamp":        {happyPath, func(b tree) { b.flip(stamp) }, "nobody who is trusted says when"},
		"timestamp is not one":     {happyPath, func(b tree) { b.set(stamp, "AAAA") }, "nobody who is trusted says when"},
		"other signature's stamp":  {happyPath, func(b tree) { b.set(stamp, other.text(stamp)) }, "nobody who is trusted says when"},
		"unknown member":           {happyPath, func(b tree) { b.set("more", 1) }, "neither a Sigstore bundle"},
		"other payload":            {happyDSSE, func(b tree) { b.flip("dsseEnvelope.payload") }, "another payload"},
		"other payload type":       {happyDSSE, func(b tree) { b.set("dsseEnvelope.payloadType", "text/plain") }, "does not verify"},
		"other envelope signature": {happyDSSE, func(b tree) { b.flip("dsseEnvelope.signatures.0.sig") }, "not of this signature"},
		"two envelope signatures":  {happyDSSE, func(b tree) { m, k := b.at("dsseEnvelope.signatures"); m[k] = append(m[k].([]any), m[k].([]any)...) }, "2 signatures"},
		"artifact in place of DSSE": {happyDSSE, func(b tree) {
			b.set("dsseEnvelope", nil)
			m, _ := parseTree(t, happyPath).at("messageSignature.x")
			b.set("messageSignature", map[string]any(m))
		}, "not of this signature"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := parseTree(t, c.file)
			c.change(file)
			data, err := json.Marshal(file)
			if err != nil {
				t.Fatal(err)
			}
			b, err := bundle.Parse(data)
			if err == nil {
				_, err = b.Verify(staging(t), bundle.Policy{Artifact: conformanceArtifact, Identity: &conformanceIdentity})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want an error with %q", err, c.want)
			}
		})
	}
}

// TestDistrust leaves the bundle as it is and changes who is trusted and what
// is asked.
func TestDistrust(t *testing.T) {
	t.Parallel()
	pattern := func(s string) *bundle.Identity {
		p, err := bundle.Pattern(s)
		if err != nil {
			t.Fatal(err)
		}
		return &bundle.Identity{NamePattern: p, Issuer: conformanceIdentity.Issuer}
	}
	for name, c := range map[string]struct {
		change func(*bundle.Trust, *bundle.Policy)
		want   string
	}{
		"nothing changed":                       {func(*bundle.Trust, *bundle.Policy) {}, ""},
		"pattern":                               {func(_ *bundle.Trust, p *bundle.Policy) { p.Identity = pattern(`https://github\.com/.*`) }, ""},
		"pattern for a part":                    {func(_ *bundle.Trust, p *bundle.Policy) { p.Identity = pattern(`github\.com`) }, "certificate is for"},
		"no trust at all":                       {func(r *bundle.Trust, _ *bundle.Policy) { *r = bundle.Trust{} }, "not trusted"},
		"another log":                           {func(r *bundle.Trust, _ *bundle.Policy) { r.Logs = r.Logs[:1] }, "not trusted"},
		"another key of the log":                {func(r *bundle.Trust, _ *bundle.Policy) { r.Logs[1].Key = r.Logs[0].Key }, "not the log of the id"},
		"key of the log was retired":            {func(r *bundle.Trust, _ *bundle.Policy) { r.Logs[1].End = r.Logs[1].Start }, "until when the key of"},
		"key of the log has been retired since": {func(r *bundle.Trust, _ *bundle.Policy) { r.Logs[1].End = r.Logs[1].Start.AddDate(50, 0, 0) }, ""},
		"no Fulcio":                             {func(r *bundle.Trust, _ *bundle.Policy) { r.Authorities = nil }, "no certificate authority"},
		"other Fulcio":                          {func(r *bundle.Trust, _ *bundle.Policy) { r.Authorities = r.Timestamps }, "certificate:"},
		"Fulcio of another time":                {func(r *bundle.Trust, _ *bundle.Policy) { r.Authorities[0].End = r.Authorities[0].Start }, "was not trusted at"},
		"no timestamp authority":                {func(r *bundle.Trust, _ *bundle.Policy) { r.Timestamps = nil }, "nobody who is trusted says when"},
		"later timestamps": {func(r *bundle.Trust, _ *bundle.Policy) {
			r.Timestamps[0].Start = r.Timestamps[0].Start.AddDate(1, 0, 0)
		}, "nobody who is trusted says when"},
		"other timestamps":        {func(r *bundle.Trust, _ *bundle.Policy) { r.Timestamps = r.Authorities }, "nobody who is trusted says when"},
		"no CT log":               {func(r *bundle.Trust, _ *bundle.Policy) { r.CTLogs = nil }, ""},
		"other CT log":            {func(r *bundle.Trust, _ *bundle.Policy) { r.CTLogs = r.CTLogs[:1] }, "by a CT log that is trusted"},
		"other key of the CT log": {func(r *bundle.Trust, _ *bundle.Policy) { r.CTLogs[1].Key = r.Logs[0].Key }, "does not verify"},
		"other CT log's time":     {func(r *bundle.Trust, _ *bundle.Policy) { r.CTLogs[1].End = r.CTLogs[1].Start }, "was not trusted at"},
		"nobody expected":         {func(_ *bundle.Trust, p *bundle.Policy) { p.Identity = nil }, "say who it should be"},
		"somebody else": {func(_ *bundle.Trust, p *bundle.Policy) {
			p.Identity = &bundle.Identity{Name: "eve@example.com", Issuer: conformanceIdentity.Issuer}
		}, "certificate is for"},
		"somebody else's word": {func(_ *bundle.Trust, p *bundle.Policy) {
			p.Identity = &bundle.Identity{Name: conformanceIdentity.Name, Issuer: "https://evil.test"}
		}, "identified by"},
		"key given": {func(r *bundle.Trust, p *bundle.Policy) { p.Key = r.Logs[0].Key }, "signed with a certificate"},
		"other artifact": {func(_ *bundle.Trust, p *bundle.Policy) {
			p.Artifact = bundle.Digests{"sha256": strings.Repeat("0", 64)}
		}, "the artifact is"},
		"digest of another sort": {func(_ *bundle.Trust, p *bundle.Policy) {
			p.Artifact = bundle.Digests{"sha512": strings.Repeat("0", 128)}
		}, "not known"},
		"no artifact": {func(_ *bundle.Trust, p *bundle.Policy) { p.Artifact = nil }, ""},
		"log only": {func(r *bundle.Trust, p *bundle.Policy) {
			*r = bundle.Trust{Root: trust.Root{Logs: r.Logs}}
			*p = bundle.Policy{LogOnly: true}
		}, ""},
		"policy says no": {func(r *bundle.Trust, _ *bundle.Policy) {
			r.Check = func([]byte) error { return errors.New("no quorum") }
		}, "no quorum"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := bundle.Parse(read(t, happyPath))
			if err != nil {
				t.Fatal(err)
			}
			trusted, policy := staging(t), bundle.Policy{Artifact: conformanceArtifact, Identity: &conformanceIdentity}
			c.change(trusted, &policy)
			_, err = b.Verify(trusted, policy)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v; want an error with %q", err, c.want)
			}
		})
	}
}

// TestForms takes the entry of a bundle through all forms and back.
func TestForms(t *testing.T) {
	t.Parallel()
	b, err := bundle.Parse(read(t, happyPath))
	if err != nil {
		t.Fatal(err)
	}
	for format, write := range map[bundle.Format]func(*bundle.Entry) ([]byte, error){
		bundle.TLE:       (*bundle.Entry).TLE,
		bundle.TLogProof: (*bundle.Entry).TLogProof,
		bundle.Sigstore:  func(e *bundle.Entry) ([]byte, error) { return e.Sigstore(nil) },
	} {
		data, err := write(b.Entries[0])
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		again, err := bundle.Parse(data)
		if err != nil {
			t.Fatalf("%s: %v\n%s", format, err, data)
		}
		if again.Format != format {
			t.Errorf("%s was read as %s", format, again.Format)
		}
		// A tlog-proof does not say which log it means, but for its origin.
		trusted := staging(t)
		if _, err = again.Verify(trusted, bundle.Policy{LogOnly: true}); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		trusted.Logs = trusted.Logs[:1]
		if _, err = again.Verify(trusted, bundle.Policy{LogOnly: true}); err == nil {
			t.Errorf("%s: verified without the log's key", format)
		}
	}
	if _, err := b.Entries[0].Sigstore(&bundle.Envelope{PayloadType: "x", Payload: []byte("y")}); err == nil {
		t.Error("a bundle was made of an envelope that is not the entry's")
	}
	dsse, err := bundle.Parse(read(t, happyDSSE))
	if err != nil {
		t.Fatal(err)
	}
	var missing *bundle.ContentError
	if _, err := dsse.Entries[0].Sigstore(nil); !errors.As(err, &missing) {
		t.Errorf("a bundle without the envelope: %v", err)
	}
	envelope := &bundle.Envelope{PayloadType: dsse.Content.PayloadType, Payload: dsse.Content.Payload}
	if _, err := dsse.Entries[0].Sigstore(envelope); err != nil {
		t.Errorf("a bundle with the envelope: %v", err)
	}
}

// TestCutAndSwollen reads what is not all there, and what is too much.
func TestCutAndSwollen(t *testing.T) {
	t.Parallel()
	data := read(t, happyPath)
	b, err := bundle.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := b.Entries[0].TLogProof()
	if err != nil {
		t.Fatal(err)
	}
	entry, err := b.Entries[0].TLE()
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{bytes.TrimSpace(data), proof, bytes.TrimSpace(entry)} {
		for n := 0; n < len(data); n += 7 {
			if _, err := bundle.Parse(data[:n]); err == nil {
				t.Errorf("the first %d of %d bytes were taken", n, len(data))
			}
		}
	}
	if _, err := bundle.Parse(append(data, bytes.Repeat([]byte(" "), bundle.MaxSize)...)); err == nil {
		t.Error("a bundle of more than the most bytes was taken")
	}
	if _, err := bundle.ParseEnvelope(bytes.Repeat([]byte(" "), bundle.MaxSize+1)); err == nil {
		t.Error("an envelope of more than the most bytes was taken")
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range []string{happyPath, happyDSSE} {
		data := read(f, path)
		f.Add(data)
		b, err := bundle.Parse(data)
		if err != nil {
			f.Fatal(err)
		}
		for _, write := range []func(*bundle.Entry) ([]byte, error){(*bundle.Entry).TLE, (*bundle.Entry).TLogProof} {
			data, err := write(b.Entries[0])
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	trusted := staging(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := bundle.Parse(data)
		if err != nil {
			return
		}
		b.Verify(trusted, bundle.Policy{Artifact: conformanceArtifact, Identity: &conformanceIdentity}) //nolint:errcheck // it must not panic
		for _, e := range b.Entries {
			e.TLE()         //nolint:errcheck // the same
			e.TLogProof()   //nolint:errcheck // the same
			e.Sigstore(nil) //nolint:errcheck // the same
		}
	})
}
