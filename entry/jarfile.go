package entry

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/cairnlog/cairn/pki"
)

const (
	// maxJARMetadata is the most bytes that a file of META-INF with a dot in
	// its name may have, as in Rekor.
	maxJARMetadata = 1 << 20
	// maxJARSignature is the most bytes of a signature block. A body of the
	// log has room for one of 36 KB, without what it signs.
	maxJARSignature = 256 << 10

	// What is hashed of an archive is at most jarRatio times its length and
	// jarAllowance on top, and it has a file for every jarPerFile bytes and
	// jarFiles on top. Of JARs in the wild few reach a third of that.
	jarRatio     = 4
	jarAllowance = 16 << 20
	jarPerFile   = 128
	jarFiles     = 16 << 10
)

// A jarSignature is what signs a JAR.
type jarSignature struct {
	key   *pki.PKCS7
	block []byte // PKCS7 without content, in PEM
}

// A jarArchive is a JAR file that is being read.
type jarArchive struct {
	zip    *zip.Reader
	budget int64 // bytes that may still be hashed
}

// verifyJAR checks that one signer has signed a JAR: the signature over the
// .SF file, its digests of the manifest, and the manifest's digests of files.
// Files that the manifest does not have are not looked at. See
// https://docs.oracle.com/en/java/javase/21/docs/specs/jar/jar.html#signed-jar-file
//
// Time and memory are linear in the length of the archive, by the limits
// above: it takes at most 200 ms and 40 MB for an archive of 7.5 MB.
func verifyJAR(archive []byte) (*jarSignature, error) {
	// 1. Open.
	z, err := openJAR(archive)
	if err != nil {
		return nil, err
	}
	a := &jarArchive{zip: z, budget: jarRatio*int64(len(archive)) + jarAllowance}
	for _, f := range z.File {
		if jarMetadata(f) != "" && f.UncompressedSize64 > maxJARMetadata {
			return nil, fmt.Errorf("uncompressed jar metadata of size %d exceeds max allowed size %d", f.UncompressedSize64, maxJARMetadata)
		}
	}

	// 2. Read the metadata.
	var manifest, first []byte
	sigFiles, blocks := map[string][]byte{}, map[string][]byte{}
	for _, f := range z.File {
		name := jarMetadata(f)
		if name == "" {
			continue
		}
		text, err := a.read(f)
		if err != nil {
			return nil, err
		}
		base, ext := name[:strings.LastIndexByte(name, '.')], path.Ext(name)
		switch {
		case name == "MANIFEST.MF":
			manifest = text
		case ext == ".SF":
			sigFiles[base] = text
		case ext == ".RSA" || ext == ".DSA" || ext == ".EC" || strings.HasPrefix(name, "SIG-"):
			blocks[base] = text
			if first == nil {
				first = text
			}
		}
	}
	switch {
	case manifest == nil:
		return nil, errors.New("JAR contains no META-INF/MANIFEST.MF")
	case len(sigFiles) == 0:
		return nil, errors.New("JAR contains no signatures")
	case len(sigFiles) > 1:
		return nil, errors.New("multiple signatures detected in JAR; unable to process")
	}

	// 3. Verify the signature, the digests in what it signs, and so on.
	var s *jarSignature
	for base, sigFile := range sigFiles {
		block := blocks[base]
		switch {
		case block == nil:
			return nil, fmt.Errorf("JAR contains sigfile META-INF/%s.SF with no matching signature", base)
		case !bytes.Equal(block, first):
			return nil, errors.New("JAR contains a signature block that belongs to no sigfile")
		}
		if s, err = verifyJARBlock(block, sigFile); err != nil {
			return nil, err
		}
		if err := verifySigFile(sigFile, manifest); err != nil {
			return nil, err
		}
	}
	return s, a.verifyFiles(manifest)
}

// openJAR reads the directory of a JAR.
func openJAR(archive []byte) (*zip.Reader, error) {
	// No file has less than a header in the directory.
	if n, limit := bytes.Count(archive, []byte("PK\x01\x02")), len(archive)/jarPerFile+jarFiles; n > limit {
		return nil, fmt.Errorf("JAR has %d files, the limit for its length is %d", n, limit)
	}
	return zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
}

func verifyJARBlock(block, sigFile []byte) (*jarSignature, error) {
	if len(block) > maxJARSignature {
		return nil, fmt.Errorf("signature block of the JAR has %d bytes, the limit is %d", len(block), maxJARSignature)
	}
	key, err := pki.ParsePKCS7(block)
	if err != nil {
		return nil, err
	}
	pem, err := key.VerifyDetached(sigFile, block)
	if err != nil {
		return nil, err
	}
	if err := key.VerifyTimestamp(sigFile, block); err != nil {
		return nil, err
	}
	return &jarSignature{key, pem}, nil
}

// jarMetadata returns the name in upper case of a file in META-INF, if it has
// a dot; "" for any other.
func jarMetadata(f *zip.File) string {
	const dir = len("META-INF/")
	if len(f.Name) <= dir || strings.IndexByte(f.Name[dir:], '.') < 0 {
		return ""
	}
	d, name := path.Split(strings.ToUpper(f.Name))
	if d != "META-INF/" {
		return ""
	}
	return name
}

// spend takes n bytes from the budget.
func (a *jarArchive) spend(n uint64) error {
	if n > uint64(a.budget) {
		return fmt.Errorf("JAR has too much content for its length: at most %d bytes and %d times the length are read", jarAllowance, jarRatio)
	}
	a.budget -= int64(n)
	return nil
}

// read reads a file of the metadata. The library stops where the size in the
// directory ends.
func (a *jarArchive) read(f *zip.File) ([]byte, error) {
	if err := a.spend(f.UncompressedSize64); err != nil {
		return nil, err
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if text == nil {
		text = []byte{}
	}
	return text, nil
}

// verifyFiles checks all digests in the manifest.
func (a *jarArchive) verifyFiles(manifest []byte) error {
	sections, err := parseManifest(manifest)
	if err != nil {
		return err
	}
	files := make(map[string]*zip.File, len(a.zip.File))
	for _, f := range a.zip.File {
		files[f.Name] = f // of several with one name the last counts
	}
	for i, s := range sections {
		if i == 0 || s.magic || s.replaced {
			continue
		}
		f := files[s.name]
		if f == nil {
			return fmt.Errorf("file %s is in manifest but not JAR", s.name)
		}
		if err := a.verifyFile(f, s); err != nil {
			return fmt.Errorf("file %q in MANIFEST.MF: %w", s.name, err)
		}
	}
	return nil
}

func (a *jarArchive) verifyFile(f *zip.File, s jarSection) error {
	digests, err := s.digests("")
	if err != nil {
		return err
	}
	if err := a.spend(f.UncompressedSize64 * uint64(len(digests))); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	return digests.verify(r)
}
