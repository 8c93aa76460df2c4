-- name: open_run
INSERT INTO score_runs (correlation_id, "now", window_days, high, medium)
VALUES (%(correlation_id)s, %(now)s, %(window_days)s, %(high)s, %(medium)s)
RETURNING score_run;

-- name: write_scores
-- Scores everybody known at that time, in one pass over the events. An event exists once it has
-- happened or was received, whichever is first: with a time in the past, later events are not
-- there yet, and a client's clock that runs ahead does not hide what it sent. Without any activity
-- silence counts from the first that was heard of the person, so that nobody is at risk of leaving
-- on the day they come. An event is its first live node's: nearly always the first, so those with a
-- dead one before it are a second, small pass by index. {scores} is this run's partition.
INSERT INTO {scores} (score_run, profile_id, last_activity, silent_s, activities, score, tier, ahead)
SELECT %(score_run)s, profile_id, last_activity, silent_s, activities, score,
       CASE WHEN score >= %(high)s THEN 'high' WHEN score >= %(medium)s THEN 'medium' ELSE 'low' END,
       coalesce(last_activity > %(now)s, false)
FROM (
    SELECT profile_id, last_activity, activities, silent_s,
           least(1, greatest(0, silent_s) / (%(window_days)s::float8 * 86400)) AS score
    FROM (
        SELECT n.profile_id, heard.last_activity, coalesce(heard.activities, 0) AS activities,
               extract(epoch FROM %(now)s - coalesce(heard.last_activity, n.first_seen))::float8 AS silent_s
        FROM (
            SELECT profile_id, min(first_seen) AS first_seen FROM nodes
            WHERE live AND first_seen <= %(now)s GROUP BY 1
        ) n
        LEFT JOIN (
            SELECT n.profile_id, max(e.last_activity) AS last_activity, sum(e.activities)::int AS activities
            FROM (
                SELECT nodes[1] AS node, max(time) AS last_activity,
                       count(*) FILTER (WHERE time > %(now)s - %(window_days)s * interval '1 day') AS activities
                FROM events
                WHERE activity AND least(time, received_at) <= %(now)s
                GROUP BY 1
                UNION ALL
                SELECT first_live(b.nodes), b.last_activity, b.activities
                FROM (
                    SELECT nodes, max(time) AS last_activity,
                           count(*) FILTER (WHERE time > %(now)s - %(window_days)s * interval '1 day') AS activities
                    FROM events
                    WHERE activity AND least(time, received_at) <= %(now)s AND nodes[2] IS NOT NULL
                      AND nodes[1] IN (SELECT d.node FROM nodes d WHERE d.dead IS NOT NULL)
                    GROUP BY 1
                ) b
            ) e JOIN nodes n ON n.node = e.node AND n.live
            GROUP BY 1
        ) heard USING (profile_id)
    ) silence
) scored
ORDER BY profile_id;

-- name: summary
SELECT count(*)::int AS users, count(*) FILTER (WHERE tier = 'high')::int AS high,
       count(*) FILTER (WHERE tier = 'medium')::int AS medium,
       count(*) FILTER (WHERE tier = 'low')::int AS low,
       count(*) FILTER (WHERE ahead)::int AS suspicious
FROM scores WHERE score_run = %(score_run)s;

-- name: histogram
-- Equal bins of the score; the last one holds 1 as well.
SELECT least(width_bucket(score, 0, 1, %(bins)s), %(bins)s) - 1 AS bin, count(*)::int AS profiles
FROM scores WHERE score_run = %(score_run)s GROUP BY 1 ORDER BY 1;

-- name: top
SELECT s.profile_id, names.user_id, s.score, s.tier
FROM (
    SELECT profile_id, score, tier, silent_s FROM scores WHERE score_run = %(score_run)s
    ORDER BY score DESC, silent_s DESC, profile_id LIMIT 100
) s
JOIN LATERAL (SELECT p.user_id FROM profile_names p WHERE p.profile_id = s.profile_id) names ON true
ORDER BY s.score DESC, s.silent_s DESC, s.profile_id;

-- name: close_run
SELECT close_score_run(%(score_run)s);
