-- name: days_over
-- How many days' partitions hold only what is past its time; a look into the catalog.
SELECT (count(*) + (SELECT count(*) FROM days_to_leave(%(hot_from)s::date)))::int AS days
FROM (VALUES ('rejected_events', %(rejected_from)s::date), ('event_ids', %(ids_from)s::date)) kept (name, first_day)
CROSS JOIN LATERAL day_partitions(kept.name) AS part (day)
WHERE part.day < kept.first_day

-- name: drop_rejected
SELECT drop_days('rejected_events', %(rejected_from)s::date)

-- name: drop_ids
SELECT drop_days('event_ids', %(ids_from)s::date)

-- name: drop_events
-- Where %(hot_from)s is NULL all stay.
SELECT drop_hot_days(%(hot_from)s::date)

-- name: verify_from
-- The first day that may leave the hot store when it is agreed on, where nothing was verified for a day.
SELECT min(part.day) AS day FROM day_partitions('events') AS part (day)
WHERE part.day <= %(hot_from)s::date
  AND NOT EXISTS (SELECT FROM runs WHERE stage = 'verify' AND started_at > %(yesterday)s);
