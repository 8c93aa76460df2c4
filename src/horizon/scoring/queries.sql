-- name: open_run
INSERT INTO score_runs (correlation_id, "now", window_days, high, medium)
VALUES (%(correlation_id)s, %(now)s, %(window_days)s, %(high)s, %(medium)s)
RETURNING score_run;

-- name: open_partition
SELECT open_score_run(%(score_run)s);

-- name: write_scores
-- What definitions.sql says of everybody. {scores} is this run's partition.
COPY {scores} (score_run, profile_id, last_activity, silent_s, activities, score, tier, ahead) FROM STDIN (FORMAT binary);

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
