package entry

import "slices"

// A Type is one version of one kind of entry.
type Type struct {
	Kind    string
	Version string
	Object  string // the member that rekor-cli prints such a body under
	Schema  string // of the spec, in openapi.yaml
	API     int    // version of the Rekor API that takes proposals of it

	// check does all of Check for a spec that is an object. An error that is
	// not an *Error means that the proposal is Invalid. A type of the Rekor v2
	// API is never proposed by its spec: there, check reads leaves.
	check func(spec []byte, o Options) (*Checked, error)
}

// kinds is the table of all types, sorted.
var kinds = []Type{
	{"alpine", "0.0.1", "AlpineModel", "AlpineV001", 1, checkAlpine},
	{"cose", "0.0.1", "CoseObj", "CoseV001", 1, checkCOSE},
	{"dsse", "0.0.1", "DSSEObj", "DsseV001", 1, checkDSSE},
	{"dsse", "0.0.2", "DSSEObj", "DsseV002", 2, readDSSE002},
	{"hashedrekord", "0.0.1", "HashedRekordObj", "HashedRekordV001", 1, checkHashedRekord},
	{"hashedrekord", "0.0.2", "HashedRekordObj", "HashedRekordV002", 2, readHashedRekord002},
	{"helm", "0.0.1", "HelmObj", "HelmV001", 1, checkHelm},
	{"intoto", "0.0.1", "IntotoObj", "IntotoV001", 1, checkIntoto001},
	{"intoto", "0.0.2", "IntotoObj", "IntotoV002", 1, checkIntoto002},
	{"jar", "0.0.1", "JARModel", "JarV001", 1, checkJAR},
	{"rekord", "0.0.1", "RekordObj", "RekordV001", 1, checkRekord},
	{"rfc3161", "0.0.1", "Rfc3161Obj", "Rfc3161V001", 1, checkRFC3161},
	{"rpm", "0.0.1", "RPMModel", "RpmV001", 1, checkRPM},
	{"tuf", "0.0.1", "TufObj", "TufV001", 1, checkTUF},
}

// Kinds returns the table of all types, sorted by kind and version.
func Kinds() []Type { return slices.Clone(kinds) }

// Lookup finds a type.
func Lookup(kind, version string) (Type, bool) {
	for _, t := range kinds {
		if t.Kind == kind && t.Version == version {
			return t, true
		}
	}
	return Type{}, false
}
