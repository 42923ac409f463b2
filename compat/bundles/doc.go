// Package bundles changes Sigstore bundles at random and compares Cairn's
// verdicts with those of sigstore-go. It is a module of its own: sigstore-go
// wants other versions of libraries by which package entry is compared.
package bundles
