package entry

// NewHashedRekord proposes a signature over an artifact that is known by its digest.
func NewHashedRekord(algorithm, hexDigest string, signature, publicKeyPEM []byte) Proposal {
	return Proposal{}
}

// NewRekord proposes a detached signature over an artifact that is sent along.
func NewRekord(artifact, signature, publicKey []byte, format string) Proposal {
	return Proposal{}
}

// NewDSSE proposes a DSSE envelope with the keys of its signatures, in PEM.
func NewDSSE(envelope []byte, verifiers [][]byte) Proposal {
	return Proposal{}
}

// NewIntoto proposes a DSSE envelope as kind intoto, version 0.0.1 or 0.0.2.
func NewIntoto(version string, envelope []byte, publicKeys [][]byte) (Proposal, error) {
	return Proposal{}, nil
}

// MarshalJSON returns the proposal as it is sent.
func (p Proposal) MarshalJSON() ([]byte, error) {
	return []byte("{}"), nil
}
