package entry

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/sassoftware/go-rpmutils"

	"github.com/cairnlog/cairn/pki"
)

// verifyRPM verifies all signatures in a package, of which there must be one,
// and the digests, and returns what is stored of the header.
//
// Nothing is unpacked. Header and payload are hashed once for each signature
// and digest, seven times at most; the header is kept twice.
func verifyRPM(pkg []byte, key *pki.PGP) (headers map[string]string, err error) {
	// 1. Find the signatures, and keep those of version 3 from the library,
	// which would stop at them.
	if len(pkg) < rpmLead {
		return nil, errors.New("error reading RPM lead: unexpected EOF")
	}
	if !bytes.HasPrefix(pkg, []byte("\xed\xab\xee\xdb")) {
		return nil, errors.New("file is not an RPM")
	}
	size, signatures, err := walkRPMHeader(pkg[rpmLead:], true, rpmHeaderSignatures, rpmPackageSignatures)
	if err != nil {
		return nil, err
	}
	start := rpmLead + size
	if size, _, err = walkRPMHeader(pkg[start:], false); err != nil {
		return nil, err
	}
	top := pkg[:start]
	var old []rpmOldSignature
	for tag, t := range signatures {
		if t.dataType != rpmBinary {
			continue // the library refuses it
		}
		version, err := pki.PGPSignatureVersion(t.content)
		if err == io.ErrUnexpectedEOF {
			return nil, errors.New("PGP signature in the RPM header is cut off")
		}
		if err != nil {
			return nil, err
		}
		if version > 3 {
			continue
		}
		signed := pkg[start:]
		if tag == rpmHeaderSignatures[0] || tag == rpmHeaderSignatures[1] {
			signed = pkg[start : start+size]
		}
		old = append(old, rpmOldSignature{t.content, signed})
		if len(old) == 1 {
			top = bytes.Clone(top)
		}
		binary.BigEndian.PutUint32(top[rpmLead+t.at:], rpmUnused)
	}

	// 2. Verify. The library takes it that what it asks for is there.
	defer func() {
		if r := recover(); r != nil {
			headers, err = nil, fmt.Errorf("malformed RPM package: %v", r)
		}
	}()
	h, verified, err := rpmutils.Verify(io.MultiReader(bytes.NewReader(top), bytes.NewReader(pkg[start:])), key.Entities())
	if err != nil {
		return nil, err
	}
	if len(verified)+len(old) == 0 {
		return nil, errors.New("no supported PGP signature found in RPM")
	}
	for _, s := range old {
		if err := key.VerifyPackets(bytes.NewReader(s.signed), s.packet); err != nil {
			return nil, err
		}
	}

	// 3. Read. The header has other digests, too; stored is this one only.
	n, err := h.GetNEVRA()
	if err != nil {
		return nil, err
	}
	headers = map[string]string{"Name": n.Name, "Epoch": n.Epoch, "Version": n.Version, "Release": n.Release, "Architecture": n.Arch}
	if sum, err := h.GetBytes(rpmutils.SIG_MD5); err == nil && len(sum) > 0 {
		headers["RPMSIGTAG_MD5"] = hex.EncodeToString(sum)
	}
	return headers, nil
}

// rpmUnused is a tag that means nothing.
const rpmUnused = 0x7fffff00

// An rpmOldSignature is a signature packet of version 3 with what it is over.
type rpmOldSignature struct{ packet, signed []byte }
