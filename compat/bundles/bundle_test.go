package bundles

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"pgregory.net/rapid"

	sigstore "github.com/sigstore/sigstore-go/pkg/bundle"

	"github.com/cairnlog/cairn/bundle"
	"github.com/cairnlog/cairn/trust"
)

// The signer of the bundles in bundle/testdata/conformance, and the artifact.
const (
	beacon       = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	beaconIssuer = "https://token.actions.githubusercontent.com"
	beaconDigest = "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf"
	conformance  = "../../bundle/testdata/conformance/"
)

// TestBundleVerdicts changes a bundle at random and wants sigstore-go's verdict.
func TestBundleVerdicts(t *testing.T) {
	t.Parallel()
	happy, err := os.ReadFile(conformance + "rekor2-happy-path.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(conformance + "trusted_root.json")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := trust.ParseRoot(text)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := root.NewTrustedRootFromJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := verify.NewVerifier(theirs, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1), verify.WithSignedCertificateTimestamps(1))
	if err != nil {
		t.Fatal(err)
	}
	id, err := verify.NewShortCertificateIdentity(beaconIssuer, "", beacon, "")
	if err != nil {
		t.Fatal(err)
	}
	digest, err := base64.StdEncoding.DecodeString("oM/HEnHW4njlfNMy/5V8P3BD/do1TEy7GQow1W76Ab8=")
	if err != nil {
		t.Fatal(err)
	}
	cairn := func(data []byte) error {
		b, err := bundle.Parse(data)
		if err != nil {
			return err
		}
		r, err := b.Verify(&bundle.Trust{Root: *ours}, bundle.Policy{
			Artifact: bundle.Digests{"sha256": beaconDigest},
			Identity: &bundle.Identity{Name: beacon, Issuer: beaconIssuer},
		})
		if err != nil {
			return fmt.Errorf("%w (%v)", err, r.Findings)
		}
		return nil
	}
	reference := func(data []byte) error {
		b := &sigstore.Bundle{Bundle: new(protobundle.Bundle)}
		if err := b.UnmarshalJSON(data); err != nil {
			return err
		}
		_, err := verifier.Verify(b, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithCertificateIdentity(id)))
		return err
	}
	if a, b := cairn(happy), reference(happy); a != nil || b != nil {
		t.Fatalf("cairn: %v, sigstore-go: %v", a, b)
	}
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		for range 3 {
			var v map[string]any
			if err := json.Unmarshal(happy, &v); err != nil {
				t.Fatal(err)
			}
			change(t, v)
			data, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			a, b := cairn(data), reference(data)
			if a == nil {
				taken++
			}
			if (a == nil) != (b == nil) && !known(a) {
				t.Fatalf("cairn: %v\nsigstore-go: %v\n%s", a, b, data)
			}
		}
	})
	t.Logf("%d changed bundles were taken by both", taken)
}

// known tells the differences that are meant: Cairn refuses what sigstore-go
// does not look at. It takes nothing that sigstore-go refuses.
func known(ours error) bool {
	return ours != nil && slices.ContainsFunc([]string{
		"its body is",                         // kind and version beside the body of a v2 entry
		"does not lead",                       // the body of a v2 entry: sigstore-go makes it again
		"size or root of the inclusion proof", // it goes by the checkpoint alone
		"the digest is not one of",            // an algorithm that is not named
		"not that in the proof",               // the index beside the proof
		"negative",                            // a time that nobody signed
		"nobody who is trusted says when",     // types and status in a timestamp, and BER that is no DER
	}, func(s string) bool { return strings.Contains(ours.Error(), s) })
}

// change changes one value somewhere in v.
func change(t *rapid.T, v map[string]any) {
	names := slices.Sorted(maps.Keys(v))
	name := rapid.SampledFrom(names).Draw(t, "member")
	set := func(x any) { v[name] = x }
	x := v[name]
	for {
		list, ok := x.([]any)
		if !ok || len(list) == 0 {
			break
		}
		i := rapid.IntRange(0, len(list)-1).Draw(t, "index")
		if rapid.IntRange(0, 9).Draw(t, "cut") == 0 {
			set(slices.Delete(slices.Clone(list), i, i+1))
			return
		}
		set = func(x any) { list[i] = x }
		x = list[i]
	}
	switch x := x.(type) {
	case map[string]any:
		if rapid.IntRange(0, 29).Draw(t, "drop") > 0 {
			change(t, x)
			return
		}
		delete(v, name)
	case string:
		set(changeText(t, x))
	default:
		delete(v, name)
	}
}

func changeText(t *rapid.T, s string) any {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err == nil && len(raw) > 0 && rapid.Bool().Draw(t, "in base64") {
		i := rapid.IntRange(0, len(raw)-1).Draw(t, "byte")
		raw[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		return base64.StdEncoding.EncodeToString(raw)
	}
	switch b := []byte(s); {
	case len(b) == 0 || rapid.IntRange(0, 9).Draw(t, "none") == 0:
		return nil
	case rapid.Bool().Draw(t, "shorter"):
		i := rapid.IntRange(0, len(b)-1).Draw(t, "place")
		return string(slices.Delete(bytes.Clone(b), i, i+1))
	default:
		b[rapid.IntRange(0, len(b)-1).Draw(t, "place")] = rapid.SampledFrom([]byte("0aZ/+=\n ")).Draw(t, "letter")
		return string(b)
	}
}
