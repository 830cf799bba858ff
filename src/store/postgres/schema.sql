CREATE TABLE logs (
    id bigint NOT NULL, -- of the node's records: from 1, without gaps
    time timestamptz NOT NULL,
    severity_number smallint NOT NULL, -- OpenTelemetry's, 1 to 24; 0 is unspecified
    severity text,
    service text,
    logger text,
    host text,
    message text,
    trace_id text,
    span_id text,
    event_name text,
    file text,
    line bigint,
    function text,
    process_id bigint,
    thread text,
    attributes jsonb,
    node text NOT NULL, -- which logboom it came by
    time_ns smallint -- what is left of the time below its microsecond, 1 to 999 ns; usually nothing
) PARTITION BY RANGE (time);

-- What no partition of a day is made for: times far from today.
CREATE TABLE logs_default PARTITION OF logs DEFAULT;

-- What queries go by. Further ones are yours to add, and these to drop.
CREATE INDEX logs_time ON logs USING brin (time) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX logs_id ON logs (id);
CREATE INDEX logs_trace_id ON logs (trace_id) WHERE trace_id IS NOT NULL;

-- Records that the database refuses, each with the reason.
CREATE TABLE logs_dead_letter (
    node text NOT NULL,
    id bigint NOT NULL,
    time timestamptz NOT NULL DEFAULT now(),
    reason text NOT NULL,
    record text NOT NULL, -- JSON; as text, since it may be what jsonb cannot hold
    PRIMARY KEY (node, id)
);

-- How far each logboom is.
CREATE TABLE logs_node (
    node text PRIMARY KEY,
    position bigint NOT NULL, -- the first record that is not stored yet
    synced bigint NOT NULL, -- the first that may not be durable yet
    epoch bigint NOT NULL, -- the claim of the data folder that ships as this node, a random number: any other can write no more
    checksum bigint -- of database, node, epoch and position; NULL: no data folder has claimed the node yet
) WITH (fillfactor = 10); -- so that a row can be written anew within its page

-- Where earlier claims ended: a data folder that lost its node to another one goes on from there under a new name.
CREATE TABLE logs_claim (
    epoch bigint PRIMARY KEY,
    node text NOT NULL,
    position bigint NOT NULL,
    ended timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE logs_version (
    version integer NOT NULL,
    database text NOT NULL DEFAULT md5(random()::text || clock_timestamp()::text || txid_current()::text) -- which one this is
);
INSERT INTO logs_version VALUES (2);
