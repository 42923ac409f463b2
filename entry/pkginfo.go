package entry

import (
	"bytes"
	"fmt"
	"unicode"

	"gopkg.in/ini.v1"
)

// maxPkginfoWork bounds the time that all .PKGINFO of a package take: about so
// many bytes are copied or compared. A file of a hundred lines needs about one
// in ten thousand of it.
const maxPkginfoWork = 128 << 20

// A pkginfoParser reads files of "key = value" lines. They are read as INI
// files because Rekor reads them so and stores what comes of it: quotes are
// taken off, comments cut away, of equal keys the last one counts, and what
// follows a section is lost.
//
// The work is the sum over all files that it reads.
type pkginfoParser struct{ work int }

// parse returns all pairs outside of sections.
func (p *pkginfoParser) parse(text []byte) (map[string]string, error) {
	if p.work += pkginfoWork(text); p.work > maxPkginfoWork {
		return nil, fmt.Errorf("%d bytes of too many different keys or joined lines", len(text))
	}
	f, err := ini.Load(text)
	if err != nil {
		return nil, err
	}
	return f.Section("").KeysHash(), nil
}

// pkginfoWork estimates what the parser does with text beyond reading it once.
// It compares each key with all keys before it, one by one, and it copies a
// value once for each line that is joined to it.
func pkginfoWork(text []byte) int {
	const compare = 8 // bytes that could be copied instead
	names := map[string]struct{}{}
	lines, unnamed, joined := 0, 0, 0
	for line := range bytes.Lines(text) {
		if lines++; lines*(len(names)+unnamed)*compare > maxPkginfoWork {
			break
		}
		if line = bytes.TrimFunc(line, unicode.IsSpace); len(line) == 0 {
			continue
		}
		if line[len(line)-1] == '\\' {
			joined++
		}
		switch line[0] {
		case '#', ';': // a comment
		case '[', '-', '"', '`': // a section, or a name that is made up or quoted
			unnamed++
		default:
			if i := bytes.IndexAny(line, "=:"); i >= 0 {
				line = line[:i]
			}
			names[string(line)] = struct{}{}
		}
	}
	if bytes.IndexByte(text, '`') >= 0 || bytes.Contains(text, []byte(`"""`)) {
		joined = lines // a value can have many lines
	}
	return lines*(len(names)+unnamed)*compare + joined*len(text)
}
