package api

import "strings"

// Operations returns the operation ids by method and path. OpenAPI has no
// parameter with slashes in it; what chi writes as * is one all the same.
func Operations() map[string]string {
	ids := make(map[string]string)
	for _, op := range operations() {
		ids[op.method+" "+strings.Replace(op.pattern, "*", "{tile}", 1)] = op.id
	}
	return ids
}
