-- Replays: who made deliveries of earlier ones, and why. The twin of postgres/0009_replay.sql.

create table replay (
    id         text primary key,
    app_id     text not null,
    -- Null for a single resend: it is over when it is written.
    task_id    text,
    kind       text not null,
    actor      text not null,
    reason     text,
    created_at integer not null
) without rowid;
create index replay_app on replay (app_id, id);

-- Null but for replays: partial indexes, so that an ordinary delivery pays nothing.
alter table delivery add column replay_id text;
alter table delivery add column depth integer;
create index delivery_root on delivery (root_id) where root_id is not null;
create index delivery_replay on delivery (replay_id, state, endpoint_id)
    where replay_id is not null;

-- The message that this one was made of, and whether its payload is another.
alter table message add column replay_of text;
alter table message add column changed integer;
