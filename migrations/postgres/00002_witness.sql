-- +goose Up

-- The newest checkpoint that was published: one row.
CREATE TABLE published (
    id   smallint PRIMARY KEY CHECK (id = 1),
    size bigint NOT NULL,
    note bytea NOT NULL
) WITH (fillfactor = 10);

-- What a witness has cosigned last of each log. A log has nothing here.
CREATE TABLE witnessed (
    origin text PRIMARY KEY,
    note   bytea NOT NULL
);

-- +goose Down
DROP TABLE witnessed;
DROP TABLE published;
