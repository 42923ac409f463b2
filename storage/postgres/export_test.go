package postgres

// OpenSizes is Open with other sizes of the key index.
var OpenSizes = openSizes
