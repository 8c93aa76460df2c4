-- How far each file is, so that whatever ends the process, the next one goes on there.
CREATE TABLE file_progress (
    source_id int NOT NULL,
    digest text NOT NULL,      -- SHA-256 of the unpacked content; of s3://, of address, ETag and size
    mapping text NOT NULL,     -- SHA-256 of what it says; empty for lines that are messages
    next_offset bigint NOT NULL DEFAULT 0,  -- into the unpacked text; in Parquet the next row
    number bigint NOT NULL DEFAULT 0,       -- of the last line or row
    inserted bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (source_id, digest, mapping)
);
GRANT SELECT, INSERT, UPDATE ON file_progress TO horizon_worker;
GRANT SELECT ON file_progress TO horizon_console, horizon_reader;
