-- name: scored_at
SELECT "now" FROM score_runs WHERE active;

-- name: resolve
-- An alert is over when the score of its profile, as the graph is now, is below its threshold.
UPDATE alerts a SET status = 'RESOLVED', resolved_at = %(now)s
FROM nodes n, scores s
WHERE a.rule = %(rule)s AND a.status <> 'RESOLVED' AND a.created_at <= %(now)s
  AND n.node = a.node AND s.profile_id = n.profile_id AND s.score < a.threshold
  AND s.score_run = (SELECT score_run FROM score_runs WHERE active);

-- name: end_cooldowns
-- A cooldown set shorter than when the alert was made has ended by now; the constraint must know.
UPDATE alerts SET quiet_until = %(now)s
WHERE rule = %(rule)s AND quiet_until > %(now)s
  AND created_at <= %(now)s - %(cooldown_days)s * interval '1 day';

-- name: at_risk
SELECT count(*)::int AS profiles FROM scores
WHERE score >= %(threshold)s AND score_run = (SELECT score_run FROM score_runs WHERE active);

-- name: raise_alerts
-- One alert for each profile at risk that had none of this rule within the cooldown. Ordered, so
-- that two alerters at once wait for each other instead of blocking each other; the constraint
-- then drops the second one's.
INSERT INTO alerts (rule, node, profile_id, score, tier, threshold, last_activity, silent_s, activities,
    score_run, created_at, quiet_until, correlation_id)
SELECT %(rule)s, names.node, s.profile_id, s.score, s.tier, %(threshold)s, s.last_activity, s.silent_s, s.activities,
       s.score_run, %(now)s, %(now)s + %(cooldown_days)s * interval '1 day', %(correlation_id)s
FROM scores s
JOIN LATERAL (SELECT p.node FROM profile_names p WHERE p.profile_id = s.profile_id) names ON true
WHERE s.score >= %(threshold)s AND s.score_run = (SELECT score_run FROM score_runs WHERE active)
  AND NOT EXISTS (
    SELECT FROM alerts a JOIN nodes had ON had.node = a.node
    WHERE had.profile_id = s.profile_id AND a.rule = %(rule)s
      AND a.created_at > %(now)s - %(cooldown_days)s * interval '1 day'
      AND a.created_at < %(now)s + %(cooldown_days)s * interval '1 day')
ORDER BY s.profile_id
ON CONFLICT ON CONSTRAINT one_alert_a_cooldown DO NOTHING
RETURNING alert_id, profile_id, tier, score, status,
    (SELECT user_id FROM profile_names p WHERE p.profile_id = alerts.profile_id) AS user_id;
