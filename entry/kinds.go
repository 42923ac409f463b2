package entry

// A Type is one version of one kind of entry.
type Type struct {
	Kind    string
	Version string
	Object  string // the member that rekor-cli prints such a body under
	Schema  string // of the spec, in openapi.yaml
}

// Kinds returns the table of all types, in the order of the names.
func Kinds() []Type {
	return []Type{
		{Kind: "dsse", Version: "0.0.1", Object: "DSSEObj", Schema: "DsseV001"},
		{Kind: "hashedrekord", Version: "0.0.1", Object: "HashedRekordObj", Schema: "HashedRekordV001"},
		{Kind: "intoto", Version: "0.0.1", Object: "IntotoObj", Schema: "IntotoV001"},
		{Kind: "intoto", Version: "0.0.2", Object: "IntotoObj", Schema: "IntotoV002"},
		{Kind: "rekord", Version: "0.0.1", Object: "RekordObj", Schema: "RekordV001"},
	}
}

// Lookup finds a type.
func Lookup(kind, version string) (Type, bool) {
	for _, t := range Kinds() {
		if t.Kind == kind && t.Version == version {
			return t, true
		}
	}
	return Type{}, false
}
