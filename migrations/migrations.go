// Package migrations holds the SQL that makes and changes the tables of the
// databases. The files are in the format of goose; one that was released is
// never changed again.
package migrations

import "embed"

// Postgres and SQLite hold the files in a directory each, "postgres" and "sqlite".
var (
	//go:embed postgres/*.sql
	Postgres embed.FS
	//go:embed sqlite/*.sql
	SQLite embed.FS
)
