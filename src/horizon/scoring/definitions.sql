-- name: scores
-- Scores everybody known at that time, in one pass over the events. An event exists once it has
-- happened or was received, whichever is first: with a time in the past, later events are not
-- there yet, and a client's clock that runs ahead does not hide what it sent. Without any activity
-- silence counts from the first that was heard of the person, so that nobody is at risk of leaving
-- on the day they come. Whose an event is, the lake's view has said (lake/engines/__init__.py).
SELECT profile_id, last_activity, silent_s, activities, score,
       CASE WHEN score >= %(high)s THEN 'high' WHEN score >= %(medium)s THEN 'medium' ELSE 'low' END AS tier,
       coalesce(last_activity > %(now)s, false) AS ahead
FROM (
    SELECT profile_id, last_activity, activities, silent_s,
           least(1::float8, greatest(0::float8, silent_s) / %(window_s)s) AS score
    FROM (
        SELECT known.profile_id, heard.last_activity, coalesce(heard.activities, 0)::int AS activities,
               extract(epoch FROM %(now)s - coalesce(heard.last_activity, known.first_seen))::float8 AS silent_s
        FROM (
            SELECT profile_id, min(first_seen) AS first_seen FROM map
            WHERE first_seen <= %(now)s GROUP BY profile_id
        ) known
        LEFT JOIN (
            SELECT m.profile_id, max(e.last_activity) AS last_activity, sum(e.activities) AS activities
            FROM (
                SELECT node, max(time) AS last_activity, count(*) FILTER (WHERE time > %(since)s) AS activities
                FROM events WHERE activity AND least(time, received_at) <= %(now)s
                GROUP BY node
            ) e JOIN map m ON m.node = e.node
            GROUP BY m.profile_id
        ) heard ON heard.profile_id = known.profile_id
    ) silence
) scored
