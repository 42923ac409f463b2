package api

// Operations returns the operation ids by method and path.
func Operations() map[string]string {
	ids := make(map[string]string)
	for _, op := range operations() {
		ids[op.method+" "+op.pattern] = op.id
	}
	return ids
}
