package entry

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// A Fact is something that an entry says about what was signed, for people:
// such as "version" and "2.10-1" of a package.
type Fact struct{ Name, Value string }

// maxSubjects is how many subjects of a statement About returns.
const maxSubjects = 10

// About returns what a leaf says about what was signed, and what the
// attestation says that is kept with it; nil means that there is none. All of
// it is in the words of the signer, or of whoever made a package. What cannot
// be read is left out.
func About(body, attachment []byte) []Fact {
	p, err := ParseProposal(body)
	if err != nil {
		return nil
	}
	var a about
	if p.APIVersion == "0.0.2" && p.Kind != "intoto" { // of the Rekor v2 API
		if c, err := Read(body); err == nil {
			a.add("artifact", c.Artifact)
		}
		return a
	}
	spec := func(v any) { _ = json.Unmarshal(p.Spec, v) } // members of the right type are read all the same
	switch p.Kind {
	case "hashedrekord", "rekord":
		var s struct {
			Data      struct{ Hash aboutHash }
			Signature struct{ Format string }
		}
		spec(&s)
		a.hash("artifact", s.Data.Hash)
		a.add("signature format", s.Signature.Format)
	case "alpine":
		var s struct {
			Package struct {
				Hash    aboutHash
				Pkginfo map[string]string
			}
		}
		spec(&s)
		info := s.Package.Pkginfo
		a.add("package", info["pkgname"])
		a.add("version", info["pkgver"])
		a.add("architecture", info["arch"])
		a.hash("file", s.Package.Hash)
	case "rpm":
		var s struct {
			Package struct {
				Hash    aboutHash
				Headers map[string]string
			}
		}
		spec(&s)
		h := s.Package.Headers
		a.add("package", h["Name"])
		a.add("version", rpmVersion(h["Epoch"], h["Version"], h["Release"]))
		a.add("architecture", h["Architecture"])
		a.hash("file", s.Package.Hash)
	case "jar":
		var s struct{ Archive struct{ Hash aboutHash } }
		spec(&s)
		a.hash("file", s.Archive.Hash)
	case "helm":
		var s struct{ Chart struct{ Hash aboutHash } }
		spec(&s)
		a.hash("chart", s.Chart.Hash)
	case "cose":
		var s struct {
			Data struct{ EnvelopeHash, PayloadHash aboutHash }
		}
		spec(&s)
		a.hash("message", s.Data.EnvelopeHash)
		a.hash("payload", s.Data.PayloadHash)
		if m, err := parseSign1(attachment); attachment != nil && err == nil {
			a.add("payload type", m.contentType)
			a.statement(m.contentType, m.payload)
		}
	case "dsse":
		var s struct{ EnvelopeHash, PayloadHash aboutHash }
		spec(&s)
		a.hash("envelope", s.EnvelopeHash)
		a.hash("payload", s.PayloadHash)
	case "intoto":
		var s struct {
			Content struct {
				Envelope          json.RawMessage // a string in proposals of 0.0.1
				Hash, PayloadHash aboutHash
			}
		}
		spec(&s)
		var envelope struct{ PayloadType string }
		_ = json.Unmarshal(s.Content.Envelope, &envelope)
		a.hash("envelope", s.Content.Hash)
		a.hash("payload", s.Content.PayloadHash)
		a.add("payload type", envelope.PayloadType)
		a.statement(inTotoType, attachment)
	case "rfc3161":
		var s struct{ TSR struct{ Content []byte } }
		spec(&s)
		a.timestamp(s.TSR.Content)
	case "tuf":
		var s struct {
			SpecVersion    string `json:"spec_version"`
			Metadata, Root struct{ Content string }
		}
		spec(&s)
		a.document("", s.Metadata.Content)
		a.document("root ", s.Root.Content)
		a.add("specification", s.SpecVersion)
	}
	return a
}

type about []Fact

func (a *about) add(name, value string) {
	if value != "" {
		*a = append(*a, Fact{name, value})
	}
}

type aboutHash struct{ Algorithm, Value string }

func (a *about) hash(name string, h aboutHash) {
	if h.Value != "" {
		a.add(name, h.Algorithm+":"+h.Value)
	}
}

// rpmVersion returns a version as rpm shows it: epoch 0 is not written.
func rpmVersion(epoch, version, release string) string {
	if release != "" {
		version += "-" + release
	}
	if epoch != "" && epoch != "0" {
		version = epoch + ":" + version
	}
	return version
}

// statement adds what an in-toto statement is about.
func (a *about) statement(payloadType string, payload []byte) {
	var s struct {
		PredicateType string `json:"predicateType"`
		Subject       []struct {
			Name   string    `json:"name"`
			Digest digestSet `json:"digest"`
		} `json:"subject"`
	}
	if payloadType != inTotoType || len(payload) == 0 || json.Unmarshal(payload, &s) != nil {
		return
	}
	a.add("predicate type", s.PredicateType)
	for i, subject := range s.Subject {
		if i == maxSubjects {
			a.add("subject", fmt.Sprintf("and %d more", len(s.Subject)-i))
			break
		}
		value := subject.Name
		for _, algorithm := range []string{"sha256", "sha512"} {
			if d := subject.Digest[algorithm]; d != "" {
				value += " " + algorithm + ":" + d
			}
		}
		a.add("subject", value)
	}
}

// document adds what a TUF document says of itself.
func (a *about) document(prefix, text string) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return
	}
	var d struct {
		Signed struct {
			Type    string    `json:"_type"`
			Version int       `json:"version"`
			Expires time.Time `json:"expires"`
		} `json:"signed"`
	}
	if json.Unmarshal(raw, &d) != nil {
		return
	}
	if prefix == "" {
		a.add("role", d.Signed.Type)
	}
	a.add(prefix+"version", strconv.Itoa(d.Signed.Version))
	a.add(prefix+"expires", d.Signed.Expires.UTC().Format(time.RFC3339))
}
