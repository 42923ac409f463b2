package entry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	// maxAPKMetadata is the most that the signatures of a package may have,
	// unpacked, and the most that one .PKGINFO may have. Rekor has the same.
	maxAPKMetadata = 1 << 20
	// maxAPKControl is the most that the control archive may have, unpacked.
	// It is a few hundred bytes of metadata and the scripts that run at
	// installation.
	maxAPKControl = 16 << 20
)

// An apk is what a log needs of a package of Alpine Linux,
// https://wiki.alpinelinux.org/wiki/Apk_spec.
type apk struct {
	signature []byte
	control   [sha1.Size]byte // of the compressed control archive: what is signed
	pkginfo   map[string]string
}

// readAPK reads a package: an archive of signatures, a control archive, and
// the data, each a gzip member and a tar. The data is not unpacked, only its
// hash is compared with the one in .PKGINFO.
//
// It unpacks 17 MiB at most, and keeps 2 MiB of that.
func readAPK(pkg []byte) (*apk, error) {
	// 1. Take the members apart. The decompressor reads bytes one by one, so
	// that r is where a member ends.
	r := bytes.NewReader(pkg)
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("create gzip reader: %w", err)
	}
	z.Multistream(false)
	signatures, err := io.ReadAll(io.LimitReader(z, maxAPKMetadata+1))
	if err != nil {
		return nil, fmt.Errorf("reading signature.tar.gz: %w", err)
	}
	if len(signatures) > maxAPKMetadata {
		return nil, fmt.Errorf("decompressed size (%d) for signature.tar.gz exceeds max allowed size %d", len(signatures), maxAPKMetadata)
	}
	start := len(pkg) - r.Len()
	err = z.Reset(r)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("resetting to control.tar.gz: %w", err)
	}
	z.Multistream(false)
	unpacked := &io.LimitedReader{R: z, N: maxAPKControl + 1}
	pkginfo, tarErr := readControl(unpacked)
	if _, err := io.Copy(io.Discard, unpacked); err != nil {
		return nil, fmt.Errorf("reading control.tar.gz: %w", err)
	}
	if unpacked.N <= 0 {
		return nil, fmt.Errorf("decompressed size for control.tar.gz exceeds max allowed size %d", maxAPKControl)
	}
	end := len(pkg) - r.Len()

	// 2. Look at what is in them.
	p := &apk{control: sha1.Sum(pkg[start:end]), pkginfo: pkginfo}
	if p.signature, err = readAPKSignature(signatures); err != nil {
		return nil, err
	}
	if tarErr != nil {
		return nil, tarErr
	}
	want, err := hex.DecodeString(pkginfo["datahash"])
	if err != nil {
		return nil, fmt.Errorf("parsing datahash: %w", err)
	}
	if sum := sha256.Sum256(pkg[end:]); !bytes.Equal(sum[:], want) {
		return nil, fmt.Errorf("checksum for data.tar.gz (%x) does not match value from .PKGINFO (%x)", sum, want)
	}
	return p, nil
}

// readAPKSignature returns the first file of signatures, a tar, whose name
// starts with .SIGN. It is a signature or the PEM of one.
func readAPKSignature(signatures []byte) (signature []byte, err error) {
	r := tar.NewReader(bytes.NewBuffer(signatures))
	for {
		h, err := r.Next()
		switch {
		case err == io.EOF && signature == nil:
			return nil, errors.New("no signature detected in alpine package")
		case err == io.EOF:
			return signature, nil
		case err != nil:
			return nil, fmt.Errorf("getting next entry in tar archive: %w", err)
		case signature != nil || !strings.HasPrefix(h.Name, ".SIGN"):
			continue
		}
		if signature, err = readTarFile(r, h, ".SIGN"); err != nil {
			return nil, err
		}
		if block, _ := pem.Decode(signature); block != nil {
			signature = block.Bytes
		}
	}
}

// readControl returns what .PKGINFO says, the last one if there are several.
// It reads archive as far as the tar in it goes.
func readControl(archive io.Reader) (map[string]string, error) {
	var parser pkginfoParser
	var pkginfo map[string]string
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		switch {
		case err == io.EOF && pkginfo == nil:
			return nil, errors.New(".PKGINFO file was not located")
		case err == io.EOF:
			return pkginfo, nil
		case err != nil:
			return nil, fmt.Errorf("getting next entry in tar archive: %w", err)
		case h.Name != ".PKGINFO":
			continue
		}
		text, err := readTarFile(r, h, ".PKGINFO")
		if err != nil {
			return nil, err
		}
		if pkginfo, err = parser.parse(text); err != nil {
			return nil, fmt.Errorf("parsing .PKGINFO: %w", err)
		}
	}
}

// readTarFile reads the file that h is the header of.
func readTarFile(r *tar.Reader, h *tar.Header, name string) ([]byte, error) {
	if h.Size < 0 {
		return nil, fmt.Errorf("negative header size for %s file", name)
	}
	if h.Size > maxAPKMetadata {
		return nil, fmt.Errorf("uncompressed %s file size %d exceeds max allowed size %d", name, h.Size, maxAPKMetadata)
	}
	b := make([]byte, h.Size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return b, nil
}
