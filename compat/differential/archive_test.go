package differential

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strings"
)

// maxUnpacked is what is unpacked of an archive to change it: vectors with
// bombs in them are changed as they are.
const maxUnpacked = 1 << 20

// gunzip returns the members of a gzip file, as they are and unpacked.
func gunzip(b []byte) (packed, plain [][]byte) {
	in := bytes.NewReader(b)
	for in.Len() > 0 {
		start := len(b) - in.Len()
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil
		}
		z.Multistream(false)
		text, err := io.ReadAll(io.LimitReader(z, maxUnpacked))
		if err != nil || len(text) == maxUnpacked {
			return nil, nil
		}
		if _, err := z.Read(make([]byte, 1)); err != io.EOF { // the checksum
			return nil, nil
		}
		packed = append(packed, b[start:len(b)-in.Len()])
		plain = append(plain, text)
	}
	return packed, plain
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	must(w.Write(b))
	must(0, w.Close())
	return out.Bytes()
}

// must is for writing to buffers, which take everything.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// changeAPK changes a package of three gzip members, of which the first holds
// the signature and nothing vouches for it.
func (m *mutator) changeAPK(b []byte) []byte {
	packed, plain := gunzip(b)
	if len(packed) == 0 {
		return m.flip(b)
	}
	i := m.IntN(len(packed))
	if m.oneIn(2) {
		i = 0
	}
	switch m.IntN(8) {
	case 0:
		packed = slices.Delete(packed, i, i+1)
	case 1:
		packed = slices.Insert(packed, i, packed[m.IntN(len(packed))])
	case 2:
		j := m.IntN(len(packed))
		packed[i], packed[j] = packed[j], packed[i]
	case 3:
		packed[i] = m.flip(packed[i])
	case 4:
		packed[i] = gzipped(m.flip(plain[i]))
	default:
		packed[i] = gzipped(m.changeTar(plain[i]))
	}
	return slices.Concat(packed...)
}

// A file is a member of an archive.
type file struct {
	name string
	text []byte
}

func untar(b []byte) (files []file) {
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if err != nil {
			return files
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return files
		}
		files = append(files, file{h.Name, text})
	}
}

// changeTar changes the members of an archive, and how it ends.
func (m *mutator) changeTar(b []byte) []byte {
	return m.tar(m.changeFiles(untar(b), []string{".SIGN.RSA.x", ".PKGINFO", ".post-install", "usr/"}))
}

// tar packs files.
func (m *mutator) tar(files []file) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Size: int64(len(f.text)), Mode: 0o644}
		if m.oneIn(30) {
			h.Typeflag, h.Linkname, h.Size, f.text = tar.TypeSymlink, "x", 0, nil
		}
		if err := w.WriteHeader(h); err != nil {
			continue // a directory with content, say
		}
		if _, err := w.Write(f.text); err != nil {
			continue
		}
	}
	must(0, w.Flush())
	if m.oneIn(3) {
		must(0, w.Close())
	}
	if m.oneIn(20) {
		return m.flip(b.Bytes())
	}
	return b.Bytes()
}

func (m *mutator) changeFiles(files []file, names []string) []file {
	if len(files) == 0 {
		return []file{{pick(m, names), []byte("x")}}
	}
	i := m.IntN(len(files))
	switch m.IntN(7) {
	case 0:
		return slices.Delete(files, i, i+1)
	case 1:
		return slices.Insert(files, i, files[m.IntN(len(files))])
	case 2:
		j := m.IntN(len(files))
		files[i], files[j] = files[j], files[i]
	case 3:
		files[i].name = pick(m, []string{strings.ToLower(files[i].name), strings.ToUpper(files[i].name), files[i].name + "x", "./" + files[i].name, pick(m, names)})
	case 4:
		files[i].text = m.changeLines(files[i].text)
	case 5:
		files[i].text = m.flip(files[i].text)
	case 6:
		return slices.Insert(files, i, file{pick(m, names), []byte("x: y\r\n\r\n")})
	}
	return files
}

// changeZip changes the members of an archive.
func (m *mutator) changeZip(b []byte) []byte {
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || m.oneIn(6) {
		return m.flip(b)
	}
	var files []file
	for _, f := range r.File {
		if f.UncompressedSize64 > maxUnpacked {
			return m.flip(b)
		}
		c, err := f.Open()
		if err != nil {
			return m.flip(b)
		}
		text, err := io.ReadAll(io.LimitReader(c, maxUnpacked))
		if err != nil {
			return m.flip(b)
		}
		files = append(files, file{f.Name, text})
	}
	files = m.changeFiles(files, []string{"META-INF/MANIFEST.MF", "META-INF/X.SF", "META-INF/X.RSA", "META-INF/SIG-X", "META-INF/x.ec", "META-INF/", "a/b.class"})
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range files {
		c, err := w.CreateHeader(&zip.FileHeader{Name: f.name, Method: uint16(m.IntN(2)) * zip.Deflate})
		if err != nil {
			continue
		}
		if _, err := c.Write(f.text); err != nil {
			continue // a directory with content
		}
	}
	must(0, w.Close())
	return out.Bytes()
}

// changeRPM changes what no signature of a package vouches for, mostly: its
// lead and the header with the signatures.
func (m *mutator) changeRPM(b []byte) []byte {
	if m.oneIn(4) || len(b) < 600 {
		return m.flip(b)
	}
	b = bytes.Clone(b)
	const lead, entry = 96, 16
	switch m.IntN(4) {
	case 0:
		b[m.IntN(lead)] ^= 1 << m.IntN(8)
	case 1: // a number in the index of the signatures
		i := lead + 16 + entry*m.IntN(8) + m.IntN(entry)
		b[i] += byte(m.IntN(3)) - 1
	case 2:
		b[lead+8+m.IntN(8)] += byte(m.IntN(5)) - 2
	case 3:
		b[lead+m.IntN(500)] ^= 1 << m.IntN(8)
	}
	return b
}
