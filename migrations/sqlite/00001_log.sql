-- +goose Up

-- The newest state of the log: one row.
CREATE TABLE head (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    origin     TEXT    NOT NULL,
    tree_id    INTEGER NOT NULL,
    key_id     BLOB    NOT NULL,
    size       INTEGER NOT NULL,
    root       BLOB    NOT NULL,
    time       INTEGER NOT NULL,
    nonce      BLOB    NOT NULL,
    checkpoint BLOB    NOT NULL
);

-- One row a batch. The data is compressed before it gets here.
CREATE TABLE segment (
    start INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    nonce BLOB    NOT NULL,
    data  BLOB    NOT NULL
);

-- Full tiles only, so no row is ever changed.
CREATE TABLE tile (
    level INTEGER NOT NULL,
    idx   INTEGER NOT NULL,
    data  BLOB    NOT NULL,
    PRIMARY KEY (level, idx)
);

-- Which entries are found by which key: the 16 bytes of the key, then the
-- index in 8 bytes, big endian.
CREATE TABLE search_key (
    key BLOB PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE attachment (
    idx  INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- +goose Down
DROP TABLE attachment;
DROP TABLE search_key;
DROP TABLE tile;
DROP TABLE segment;
DROP TABLE head;
