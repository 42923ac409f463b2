package v1

// Paths of the operations. An entry is at PathEntries + "/" + its id.
const (
	PathLog       = "/api/v1/log"
	PathEntries   = "/api/v1/log/entries"
	PathRetrieve  = "/api/v1/log/entries/retrieve"
	PathProof     = "/api/v1/log/proof"
	PathPublicKey = "/api/v1/log/publicKey"
	PathIndex     = "/api/v1/index/retrieve"
)

// MaxRetrieve is the most entries that one retrieve may ask for.
const MaxRetrieve = 10

// MaxSubject is the longest subject of an index query, in characters.
const MaxSubject = 512

// Numbers that Rekor's framework puts into the body of a 422 in place of the
// HTTP status. Clients show them; none decides by them.
const (
	CodeType     = 601 // wrong type or format
	CodeRequired = 602
	CodeTooLong  = 603
	CodePattern  = 605
	CodeEnum     = 606
	CodeMinimum  = 609
	CodeMaxItems = 611
	CodeMinItems = 612
)
