package checkpoint

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Limits of a policy. All its signatures together must fit into a note.
const (
	maxPolicy        = 1 << 20 // bytes
	maxPolicyMembers = 64      // logs, witnesses, and groups, each
)

// A Policy says which logs are trusted, and which witnesses must have
// cosigned a checkpoint for it to count. https://c2sp.org/tlog-policy
//
//	log log.example+…vkey
//	witness w1 witness.example/w1+…vkey https://witness.example/w1/
//	witness w2 …
//	witness w3 …
//	group two-of-three 2 w1 w2 w3
//	quorum two-of-three
type Policy struct {
	logs      []PolicyLog
	witnesses []PolicyWitness
	groups    []*policyGroup
	quorum    *policyGroup // nil for none
}

// A PolicyLog is a line "log" of a policy.
type PolicyLog struct {
	Verifier note.Verifier // its name is the log's origin
	VKey     string
	URL      string // "" for none; what it means depends on who reads it
}

// A PolicyWitness is a line "witness" of a policy.
type PolicyWitness struct {
	Name     string        // in the policy
	Verifier note.Verifier // of cosignatures
	VKey     string
	URL      string // "" for none; by custom the prefix of add-checkpoint
}

// A policyGroup is met if at least need of its members are. A witness is one
// without members.
type policyGroup struct {
	name    string
	need    int
	members []*policyGroup
	used    bool // is a member of a group
}

func (g *policyGroup) met(cosigned func(witness string) bool) bool {
	if len(g.members) == 0 {
		return cosigned(g.name)
	}
	have := 0
	for _, m := range g.members {
		if m.met(cosigned) {
			have++
		}
	}
	return have >= g.need
}

// ParsePolicy reads a policy of at most 1 MiB with at most 64 logs, witnesses
// and groups each. An error names the line.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > maxPolicy {
		return nil, fmt.Errorf("parse policy: over %d bytes", maxPolicy)
	}
	r := policyReader{named: make(map[string]*policyGroup), keys: make(map[string]bool), ids: make(map[string]bool)}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if err := r.line(string(bytes.TrimSuffix(line, []byte("\n")))); err != nil {
			return nil, fmt.Errorf("parse policy: line %d: %w", number, err)
		}
	}
	if !r.decided {
		return nil, errors.New("parse policy: there is no quorum line")
	}
	return &r.policy, nil
}

// A policyReader reads a policy line by line.
type policyReader struct {
	policy  Policy
	named   map[string]*policyGroup // witnesses and groups by name
	keys    map[string]bool         // public keys, after "log" or "witness"
	ids     map[string]bool         // name and hash of each key
	decided bool                    // there was a quorum line
}

func (r *policyReader) line(line string) error {
	if i := strings.IndexFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }); i >= 0 {
		return fmt.Errorf("control character at byte %d", i)
	}
	f := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' })
	if len(f) == 0 || f[0][0] == '#' {
		return nil
	}
	switch f[0] {
	case "log":
		if len(f) != 2 && len(f) != 3 {
			return errors.New(`want "log VKEY [URL]"`)
		}
		if len(r.policy.logs) == maxPolicyMembers {
			return fmt.Errorf("over %d logs", maxPolicyMembers)
		}
		v, err := r.key("log", f[1], typeEd25519, typeECDSA, typeMLDSA44)
		if err != nil {
			return err
		}
		r.policy.logs = append(r.policy.logs, PolicyLog{Verifier: v, VKey: f[1], URL: strings.Join(f[2:], "")})
	case "witness":
		if len(f) != 3 && len(f) != 4 {
			return errors.New(`want "witness NAME VKEY [URL]"`)
		}
		if len(r.policy.witnesses) == maxPolicyMembers {
			return fmt.Errorf("over %d witnesses", maxPolicyMembers)
		}
		v, err := r.key("witness", f[2], typeCosignature, typeMLDSA44)
		if err != nil {
			return err
		}
		if err := r.name(&policyGroup{name: f[1]}); err != nil {
			return err
		}
		r.policy.witnesses = append(r.policy.witnesses, PolicyWitness{Name: f[1], Verifier: v, VKey: f[2], URL: strings.Join(f[3:], "")})
	case "group":
		if len(f) < 4 {
			return errors.New(`want "group NAME all|any|NUMBER MEMBER…"`)
		}
		if len(r.policy.groups) == maxPolicyMembers {
			return fmt.Errorf("over %d groups", maxPolicyMembers)
		}
		return r.group(f[1], f[2], f[3:])
	case "quorum":
		if len(f) != 2 {
			return errors.New(`want "quorum NAME" or "quorum none"`)
		}
		if r.decided {
			return errors.New("a second quorum line")
		}
		r.decided = true
		if f[1] == "none" {
			return nil
		}
		if r.policy.quorum = r.named[f[1]]; r.policy.quorum == nil {
			return fmt.Errorf("there is no witness or group %q before this line", f[1])
		}
	default:
		return fmt.Errorf("%q is not log, witness, group or quorum", f[0])
	}
	return nil
}

// key reads the vkey of a log or witness, which must be of one of types and
// not be there already: two names for one key would be counted twice.
func (r *policyReader) key(whose, vkey string, types ...byte) (note.Verifier, error) {
	v, err := ParseVKey(vkey)
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(vkey, "+")
	_, b64, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(b64)
	if err != nil || len(key) == 0 {
		return nil, fmt.Errorf("the key of the %s is not base64", whose)
	}
	if !slices.Contains(types, key[0]) {
		return nil, fmt.Errorf("a key of type %#02x is not one of a %s", key[0], whose)
	}
	if r.keys[whose+string(key[1:])] {
		return nil, fmt.Errorf("there is a %s with this key already", whose)
	}
	id := fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash())
	if r.ids[id] {
		return nil, fmt.Errorf("there are two keys %s", id)
	}
	r.keys[whose+string(key[1:])], r.ids[id] = true, true
	return v, nil
}

// name defines a witness or group.
func (r *policyReader) name(g *policyGroup) error {
	if g.name == "none" {
		return errors.New(`the name "none" is taken`)
	}
	if r.named[g.name] != nil {
		return fmt.Errorf("there is a witness or group %q already", g.name)
	}
	r.named[g.name] = g
	return nil
}

func (r *policyReader) group(name, need string, members []string) error {
	g := &policyGroup{name: name}
	for _, m := range members {
		member := r.named[m]
		if member == nil {
			return fmt.Errorf("there is no witness or group %q before this line", m)
		}
		if member.used {
			return fmt.Errorf("%q is in a group already", m)
		}
		member.used = true
		g.members = append(g.members, member)
	}
	switch need {
	case "any":
		g.need = 1
	case "all":
		g.need = len(members)
	default:
		k, err := strconv.Atoi(need)
		if err != nil || strconv.Itoa(k) != need || k < 1 || k > len(members) {
			return fmt.Errorf("%q is not all, any, or a number from 1 to the %d members", need, len(members))
		}
		g.need = k
	}
	r.policy.groups = append(r.policy.groups, g)
	return r.name(g)
}

// Logs returns the logs in the order of the policy. There may be none.
func (p *Policy) Logs() []PolicyLog { return slices.Clone(p.logs) }

// Witnesses returns the witnesses in the order of the policy.
func (p *Policy) Witnesses() []PolicyWitness { return slices.Clone(p.witnesses) }

// Quorum returns the lines of the policy about witnesses, groups and the
// quorum, without URLs: what verifiers need beside the keys of the log.
func (p *Policy) Quorum() string {
	var b strings.Builder
	for _, w := range p.witnesses {
		fmt.Fprintf(&b, "witness %s %s\n", w.Name, w.VKey)
	}
	for _, g := range p.groups {
		fmt.Fprintf(&b, "group %s %d", g.name, g.need)
		for _, m := range g.members {
			b.WriteString(" " + m.name)
		}
		b.WriteByte('\n')
	}
	name := "none"
	if p.quorum != nil {
		name = p.quorum.name
	}
	b.WriteString("quorum " + name + "\n")
	return b.String()
}

// Met says whether the quorum is met if exactly those witnesses have cosigned
// for whose names in the policy cosigned is true.
func (p *Policy) Met(cosigned func(witness string) bool) bool {
	return p.quorum == nil || p.quorum.met(cosigned)
}

// Check returns the checkpoint in a note that one of the policy's logs has
// signed under its own name and a quorum of witnesses has cosigned. Lines of
// others are ignored; a line of a known key that does not verify is an error.
func (p *Policy) Check(msg []byte) (Checkpoint, error) {
	c, err := p.check(msg)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("check policy: %w", err)
	}
	return c, nil
}

func (p *Policy) check(msg []byte) (Checkpoint, error) {
	c, _, err := parse(msg)
	if err != nil {
		return Checkpoint{}, err
	}
	var known []note.Verifier
	for _, l := range p.logs {
		known = append(known, l.Verifier)
	}
	for _, w := range p.witnesses {
		known = append(known, w.Verifier)
	}
	n, err := note.Open(msg, note.VerifierList(known...))
	if none := (*note.UnverifiedNoteError)(nil); errors.As(err, &none) {
		n, err = none.Note, nil
	}
	if err != nil {
		return Checkpoint{}, err
	}
	signed := func(v note.Verifier) bool {
		return slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == v.Name() && s.Hash == v.KeyHash() })
	}
	if !slices.ContainsFunc(p.logs, func(l PolicyLog) bool { return l.Verifier.Name() == c.Origin && signed(l.Verifier) }) {
		return Checkpoint{}, fmt.Errorf("no log of the policy has signed for origin %q", c.Origin)
	}
	by := make(map[string]bool)
	for _, w := range p.witnesses {
		by[w.Name] = signed(w.Verifier)
	}
	if !p.Met(func(w string) bool { return by[w] }) {
		var names []string
		for _, w := range p.witnesses {
			if by[w.Name] {
				names = append(names, w.Name)
			}
		}
		return Checkpoint{}, fmt.Errorf("quorum %q is not met: cosigned by %d of %d witnesses %q", p.quorum.name, len(names), len(p.witnesses), names)
	}
	return c, nil
}
