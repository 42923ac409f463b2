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

-- The search keys of the newest commits, a row each; see package keyindex.
CREATE TABLE key_tail (
    start INTEGER PRIMARY KEY,
    past  INTEGER NOT NULL,
    data  BLOB    NOT NULL
);

-- Runs of sorted search keys. State 0 is started, 1 counts, 2 is dead.
CREATE TABLE key_run (
    id        INTEGER PRIMARY KEY,
    state     INTEGER NOT NULL,
    level     INTEGER NOT NULL,
    first     INTEGER NOT NULL,
    past      INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    fences    BLOB    NOT NULL,
    filter    BLOB    NOT NULL
);

-- The pages of the runs. The id is that of the run in the upper bits and the
-- number of the page in the lower 25.
CREATE TABLE key_page (
    id   INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- Which process keeps runs and pages, until when (Unix seconds): one row.
CREATE TABLE key_owner (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    owner   BLOB    NOT NULL,
    expires INTEGER NOT NULL
);
INSERT INTO key_owner (id, owner, expires) VALUES (1, x'', 0);

CREATE TABLE attachment (
    idx  INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- +goose Down
DROP TABLE attachment;
DROP TABLE key_owner;
DROP TABLE key_page;
DROP TABLE key_run;
DROP TABLE key_tail;
DROP TABLE tile;
DROP TABLE segment;
DROP TABLE head;
