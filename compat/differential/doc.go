// Package differential asks Rekor's own code and Cairn's the same questions:
// is this an entry, what is its leaf, by what is it found. All there is are
// tests; the README of the directory above says how to run them.
//
// It is a module of its own, so that Rekor's code has the libraries that Rekor
// was released with: what other programs of the directory above want would
// replace some that decide about bytes.
package differential
