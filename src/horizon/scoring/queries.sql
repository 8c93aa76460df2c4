-- name: open_run
INSERT INTO score_runs (correlation_id, "now", window_days, high, medium)
VALUES (%(correlation_id)s, %(now)s, %(window_days)s, %(high)s, %(medium)s)
RETURNING score_run;

-- name: open_partition
SELECT open_score_run(%(score_run)s);

-- name: write_scores
-- What definitions.sql says of everybody. {scores} is the partition of this
-- run, made by this transaction: so its rows need no second write when they are first read.
COPY {scores} (score_run, profile_id, last_activity, silent_s, activities, score, tier, ahead) FROM STDIN (FORMAT binary, FREEZE);

-- name: names
SELECT profile_id, user_id FROM profile_names WHERE profile_id = ANY(%(profiles)s);

-- name: close_run
SELECT close_score_run(%(score_run)s);
