-- Replays: who made deliveries of earlier ones, and why. The twin of sqlite/0009_replay.sql.

create table replay (
    id         text collate "C" primary key,
    app_id     text collate "C" not null,
    -- Null for a single resend: it is over when it is written.
    task_id    text collate "C",
    kind       text not null,
    actor      text not null,
    reason     text,
    created_at bigint not null
);
create index replay_app on replay (app_id, id);

-- Null but for replays: partial indexes, so that an ordinary delivery pays nothing.
alter table delivery add column replay_id text collate "C";
alter table delivery add column depth integer;
create index delivery_root on delivery (root_id) where root_id is not null;
create index delivery_replay on delivery (replay_id, state, endpoint_id)
    where replay_id is not null;

-- The message that this one was made of, and whether its payload is another.
alter table message add column replay_of text collate "C";
alter table message add column changed boolean;
