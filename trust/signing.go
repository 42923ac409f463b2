package trust

import (
	"time"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	trustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const signingType = "application/vnd.dev.sigstore.signingconfig.v0.2+json"

// A SigningConfig tells signers whom to ask.
type SigningConfig struct {
	Log      string    // URL of the log
	Versions []uint32  // major versions of the API that are offered there
	Operator string    // of the log
	Start    time.Time // from when on

	// URLs of others, "" for none.
	Authority string // issues certificates
	OIDC      string // says who the signer is
	Timestamp string // signs timestamps
}

// Document returns c as signing_config.json. Signers take the highest version
// of the API that they speak.
func (c *SigningConfig) Document() ([]byte, error) {
	m := &trustroot.SigningConfig{
		MediaType:       signingType,
		RekorTlogConfig: &trustroot.ServiceConfiguration{Selector: trustroot.ServiceSelector_ANY},
		TsaConfig:       &trustroot.ServiceConfiguration{Selector: trustroot.ServiceSelector_ANY},
	}
	service := func(url string, version uint32) []*trustroot.Service {
		if url == "" {
			return nil
		}
		return []*trustroot.Service{{
			Url: url, MajorApiVersion: version, Operator: c.Operator,
			ValidFor: &common.TimeRange{Start: timestamppb.New(c.Start)},
		}}
	}
	for _, v := range c.Versions {
		m.RekorTlogUrls = append(m.RekorTlogUrls, service(c.Log, v)...)
	}
	m.CaUrls = service(c.Authority, 1)
	m.OidcUrls = service(c.OIDC, 1)
	m.TsaUrls = service(c.Timestamp, 1)
	return document(m)
}
