// Package witness runs a witness of others, litewitness of torchwood, against a
// started Cairn, and has torchwood verify what a Cairn cosigns.
package witness
