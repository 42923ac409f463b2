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

-- The entries. Package log packs them and cuts a batch so that a row of usual
-- entries fits into one page, from which it is read at once; so it should not
-- be moved out of there before it must.
CREATE TABLE segment (
    start bigint  PRIMARY KEY,
    count integer NOT NULL,
    nonce bytea   NOT NULL,
    data  bytea   NOT NULL
) WITH (toast_tuple_target = 8160);
ALTER TABLE segment ALTER COLUMN data SET STORAGE MAIN;
ALTER TABLE segment ALTER COLUMN nonce SET STORAGE PLAIN;

-- Full tiles only, so no row is ever changed. Hashes cannot be compressed.
CREATE TABLE tile (
    level smallint NOT NULL,
    idx   bigint   NOT NULL,
    data  bytea    NOT NULL,
    PRIMARY KEY (level, idx)
);
ALTER TABLE tile ALTER COLUMN data SET STORAGE EXTERNAL;

-- The search keys of the newest commits, a row each; see package keyindex.
CREATE TABLE key_tail (
    start bigint PRIMARY KEY,
    past  bigint NOT NULL,
    data  bytea  NOT NULL
) WITH (
    -- Rows come and go all the time, and little is left: clean up soon.
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000
);
ALTER TABLE key_tail ALTER COLUMN data SET STORAGE EXTERNAL;

-- Runs of sorted search keys. State 0 is started, 1 counts, 2 is dead.
CREATE TABLE key_run (
    id        bigint   PRIMARY KEY,
    state     smallint NOT NULL,
    level     smallint NOT NULL,
    first     bigint   NOT NULL,
    past      bigint   NOT NULL,
    row_count bigint   NOT NULL,
    fences    bytea    NOT NULL,
    filter    bytea    NOT NULL
);
ALTER TABLE key_run ALTER COLUMN fences SET STORAGE EXTERNAL, ALTER COLUMN filter SET STORAGE EXTERNAL;

-- The pages of the runs. They are smaller than a page of the table.
CREATE TABLE key_page (
    run  bigint  NOT NULL,
    page integer NOT NULL,
    data bytea   NOT NULL,
    PRIMARY KEY (run, page)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE key_page ALTER COLUMN data SET STORAGE PLAIN;

-- Which server keeps runs and pages, until when (Unix seconds): one row.
CREATE TABLE key_owner (
    id      smallint PRIMARY KEY CHECK (id = 1),
    owner   bytea    NOT NULL,
    expires bigint   NOT NULL
);
INSERT INTO key_owner (id, owner, expires) VALUES (1, '', 0);

CREATE TABLE attachment (
    idx  bigint PRIMARY KEY,
    data bytea  NOT NULL
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
