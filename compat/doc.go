// Package compat runs the programs and libraries that signers and verifiers
// have today against a started Cairn: rekor-cli, cosign, sigstore-go, and the
// Go client and entry code of Rekor v1. All there is are tests; see README.md.
package compat
