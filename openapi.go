// Package cairn holds the description of Cairn's HTTP interface. The program
// is in cmd/cairn.
package cairn

import _ "embed"

// OpenAPI is openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte
