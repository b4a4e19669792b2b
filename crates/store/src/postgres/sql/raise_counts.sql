INSERT INTO counters (kind, id, shard, count)
SELECT u.kind, u.id, $4::bigint, u.count FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS u (kind, id, count)
ON CONFLICT (kind, id, shard) DO UPDATE SET count = counters.count + excluded.count
