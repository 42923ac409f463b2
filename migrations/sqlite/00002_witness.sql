-- +goose Up

-- The newest checkpoint that was published: one row.
CREATE TABLE published (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    size INTEGER NOT NULL,
    note BLOB NOT NULL
);

-- What a witness has cosigned last of each log. A log has nothing here.
CREATE TABLE witnessed (
    origin TEXT PRIMARY KEY,
    note   BLOB NOT NULL
);

-- +goose Down
DROP TABLE witnessed;
DROP TABLE published;
