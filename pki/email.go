package pki

import "github.com/asaskevich/govalidator"

// isEmail reports whether s is an e-mail address, by the test that decides in
// Rekor what is indexed.
func isEmail(s string) bool { return govalidator.IsEmail(s) }
