-- From version 1 to 2: positions belong to a data folder. In one transaction.
ALTER TABLE logs_node ADD COLUMN IF NOT EXISTS checksum bigint;
CREATE TABLE IF NOT EXISTS logs_claim (
    epoch bigint PRIMARY KEY,
    node text NOT NULL,
    position bigint NOT NULL,
    ended timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE logs_version ADD COLUMN IF NOT EXISTS
    database text NOT NULL DEFAULT md5(random()::text || clock_timestamp()::text || txid_current()::text);
UPDATE logs_version SET version = 2 WHERE version = 1;
