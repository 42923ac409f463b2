package sqlite

// OpenSizes is Open with other sizes of the key index.
var OpenSizes = openSizes

// Writable is what Open asks of a file.
var Writable = writable
