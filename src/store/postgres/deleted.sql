-- Records that are missing on purpose: how many in each stretch of ids.
CREATE TABLE IF NOT EXISTS logs_deleted (
    node text NOT NULL,
    block bigint NOT NULL, -- the first id of the stretch
    reason text NOT NULL, -- 'deleted' by a person, or 'expired' for the age of their service
    first_id bigint NOT NULL,
    last_id bigint NOT NULL,
    records bigint NOT NULL,
    time timestamptz NOT NULL, -- when the last of them went
    day text NOT NULL DEFAULT '', -- the partition of their own times: its notes go with it
    PRIMARY KEY (node, block, reason, day)
);

-- How far the records of a service were looked at for their age, in the partition of a day.
CREATE TABLE IF NOT EXISTS logs_retention (
    node text NOT NULL,
    service text NOT NULL,
    day text NOT NULL,
    next_id bigint NOT NULL,
    PRIMARY KEY (node, service, day)
);

-- Whether all ids add up: `missing` is 0 unless something was lost (or retention has cut into days out of order).
CREATE OR REPLACE VIEW logs_accounted AS
    SELECT node, first_id, last_id, kept, deleted, dead_letters,
        last_id - first_id + 1 - kept - deleted - dead_letters AS missing
    FROM (
        SELECT ends.*,
            (SELECT count(*) FROM logs_dead_letter d
             WHERE d.node = ends.node AND d.id BETWEEN first_id AND last_id) AS dead_letters
        FROM (
            SELECT node, min(first_id) AS first_id, max(last_id) AS last_id, sum(kept)::bigint AS kept,
                sum(deleted)::bigint AS deleted
            FROM (
                SELECT node, min(id) AS first_id, max(id) AS last_id, count(*) AS kept, 0 AS deleted
                FROM logs GROUP BY node
                UNION ALL
                SELECT node, min(first_id), max(last_id), 0, sum(records) FROM logs_deleted GROUP BY node
            ) AS parts
            GROUP BY node
        ) AS ends
    ) AS accounted;
