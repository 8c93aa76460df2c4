-- name: days_over
-- How many days' partitions hold only what is past its time; a look into the catalog.
SELECT count(*)::int AS days
FROM (VALUES ('rejected_events', %(rejected_from)s::date), ('event_ids', %(ids_from)s::date)) kept (name, first_day)
CROSS JOIN LATERAL day_partitions(kept.name) AS part (day)
WHERE part.day < kept.first_day

-- name: drop_rejected
SELECT drop_days('rejected_events', %(rejected_from)s::date)

-- name: drop_ids
SELECT drop_days('event_ids', %(ids_from)s::date)
