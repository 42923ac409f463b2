-- +goose Up

-- The newest state of the log: one row. Its many updates stay inside its page.
CREATE TABLE head (
    id         smallint PRIMARY KEY CHECK (id = 1),
    origin     text     NOT NULL,
    tree_id    bigint   NOT NULL,
    key_id     bytea    NOT NULL,
    size       bigint   NOT NULL,
    root       bytea    NOT NULL,
    time       bigint   NOT NULL,
    nonce      bytea    NOT NULL,
    checkpoint bytea    NOT NULL
) WITH (fillfactor = 10);

-- One row a batch. The data is compressed before it gets here.
CREATE TABLE segment (
    start bigint  PRIMARY KEY,
    count integer NOT NULL,
    nonce bytea   NOT NULL,
    data  bytea   NOT NULL
);
ALTER TABLE segment ALTER COLUMN data SET STORAGE EXTERNAL;

-- Full tiles only, so no row is ever changed. Hashes cannot be compressed.
CREATE TABLE tile (
    level smallint NOT NULL,
    idx   bigint   NOT NULL,
    data  bytea    NOT NULL,
    PRIMARY KEY (level, idx)
);
ALTER TABLE tile ALTER COLUMN data SET STORAGE EXTERNAL;

-- Which entries are found by which key. A key is the first 16 bytes of a hash;
-- uuid is the narrowest type that holds it, and the fastest to compare.
CREATE TABLE search_key (
    key uuid   NOT NULL,
    idx bigint NOT NULL,
    PRIMARY KEY (key, idx)
);

CREATE TABLE attachment (
    idx  bigint PRIMARY KEY,
    data bytea  NOT NULL
);

-- +goose Down
DROP TABLE attachment;
DROP TABLE search_key;
DROP TABLE tile;
DROP TABLE segment;
DROP TABLE head;
