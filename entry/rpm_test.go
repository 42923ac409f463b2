package entry

import "testing"

func FuzzRpmV001(f *testing.F) { fuzzKind(f, "rpm", "0.0.1") }
