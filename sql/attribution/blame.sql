-- Which step decided each failure: the blame of every step of every unsuccessful action, with what it rests on.
--
-- A step weighs by the prior of its class, and, where the goal has failing and passing runs in the last 28 days, by how far what
-- it is tells these apart; which prior and which contrast stands in attribution.blame_methods. Blame is the weight divided by
-- the sum of the action's. Labels of the same goal are left out, of the action itself too: so blame may be held against labels.
--
-- evidence_kind says what it rests on, at most: `contrast` where the goal's outcomes are mixed; `repetition` where the prior is
-- the one of that name and the action does something three times or more; else `prior_only`. Without labels or mixed outcomes
-- anywhere that is the same for each step but one: where its class has no labels, the first of three or more equal steps in a row
-- weighs half as much again, as going round in circles breaks runs. That is a guess, which nothing was learned from.
-- Statistics go up to the day of the action (stats_through); later days change it only when this day is made again. Actions
-- that were evicted, or of which nothing was expected, are neither successes nor failures.
--
-- What a method makes of the lifts and scores in attribution.blame_evidence is told at attribution.blame_trials: `contrast`, say,
-- weighs lift * contrast. estimate names the row of attribution.estimate_floors that says whether this blame may be cited;
-- sql/queries/blame_to_cite.sql asks it.
--
-- Example: an action of 3 steps whose lifts are 1 and whose contrasts are 0.02, 0.885 and 0.088. Their blame is 0.02, 0.891 and
-- 0.089, the margin 0.802.
--
-- grain: action_id, position
-- partition: day
-- window: -27..0, attribution.blame_evidence 0..0, attribution.blame_methods 0..0
-- question: What decided the refund that failed?
-- sql:
--   SELECT position, round(blame, 2) AS blame, blame_rank, evidence_kind, failures, passes
--   FROM attribution.blame WHERE action_id = 'refund-2' ORDER BY blame_rank
-- answer:
--   1 | 0.95 | 1 | contrast | 1 | 1
--   0 | 0.05 | 2 | contrast | 1 | 1
WITH failed AS (
    SELECT
        *,
        actor || ' > ' || decision AS deed
    FROM attribution.blame_evidence
    WHERE is_failure AND action_day = day AND day BETWEEN $start AND $stop
),

followed AS (
    SELECT
        *,
        lag(deed) OVER (PARTITION BY day, action_id ORDER BY position) AS deed_before,
        lead(deed) OVER (PARTITION BY day, action_id ORDER BY position) AS next_deed,
        lead(deed, 2) OVER (PARTITION BY day, action_id ORDER BY position) AS deed_after_next
    FROM failed
),

repeating AS (
    SELECT DISTINCT
        day,
        action_id
    FROM failed
    WHERE repetition = 'first'
),

goals AS (
    SELECT DISTINCT
        day,
        action_type,
        goal_id
    FROM failed
),

runs AS (
    SELECT
        goals.day,
        goals.action_type,
        goals.goal_id,
        sum(sign.failing_runs) AS failures,
        sum(sign.passing_runs) AS passes
    FROM goals
    INNER JOIN attribution.blame_signs AS sign
        ON
            goals.action_type = sign.action_type
            AND goals.goal_id = sign.goal_id
            AND sign.sign = 'run'
            AND sign.day BETWEEN goals.day - 27 AND goals.day
    WHERE sign.day BETWEEN $start - 27 AND $stop
    GROUP BY goals.day, goals.action_type, goals.goal_id
),

chosen AS (
    SELECT
        day,
        action_type,
        max(CASE WHEN evidence = 'labels' THEN method END) AS prior_method,
        max(CASE WHEN evidence = 'runs' THEN method END) AS contrast_method,
        max(CASE WHEN evidence = 'labels' THEN labelled_actions END) AS labelled_actions
    FROM attribution.blame_methods
    WHERE is_chosen AND day BETWEEN $start AND $stop
    GROUP BY day, action_type
),

told AS (
    SELECT
        followed.*,
        runs.failures,
        runs.passes,
        coalesce(chosen.prior_method, 'position') AS prior_method,
        coalesce(chosen.contrast_method, 'contrast') AS contrast_method,
        coalesce(chosen.labelled_actions, 0) AS labelled_actions,
        repeating.action_id IS NOT NULL AS is_repeating,
        CASE
            WHEN
                chosen.prior_method IS NULL
                AND followed.deed = followed.next_deed
                AND followed.deed = followed.deed_after_next
                AND followed.deed <> coalesce(followed.deed_before, '')
                THEN 1.5
            ELSE 1.0
        END AS circling_lift
    FROM followed
    INNER JOIN runs
        ON followed.day = runs.day AND followed.action_type = runs.action_type AND followed.goal_id = runs.goal_id
    LEFT JOIN chosen ON followed.day = chosen.day AND followed.action_type = chosen.action_type
    LEFT JOIN repeating ON followed.day = repeating.day AND followed.action_id = repeating.action_id
),

weighed AS (
    SELECT
        *,
        CASE
            WHEN passes > 0 THEN contrast_method
            ELSE prior_method
        END AS method,
        CASE
            WHEN passes > 0 THEN 'contrast'
            WHEN prior_method = 'repetition' AND is_repeating THEN 'repetition'
            ELSE 'prior_only'
        END AS evidence_kind,
        CASE
            WHEN passes > 0
                THEN place_lift * CASE contrast_method
                    WHEN 'ochiai' THEN ochiai
                    WHEN 'kulczynski2' THEN kulczynski2
                    WHEN 'famas' THEN famas
                    ELSE contrast
                END
            WHEN prior_method = 'position' THEN place_lift * circling_lift
            WHEN prior_method = 'decision_position' THEN decision_lift * tie_lift
            WHEN prior_method = 'position_actor' THEN place_lift * actor_lift
            WHEN prior_method = 'position_decision' THEN place_lift * decision_lift
            ELSE place_lift * decision_lift * repetition_lift
        END AS weight
    FROM told
),

shared AS (
    SELECT
        *,
        weight / sum(weight) OVER (PARTITION BY day, action_id) AS blame,
        row_number() OVER (PARTITION BY day, action_id ORDER BY weight DESC, position) AS blame_rank
    FROM weighed
),

led AS (
    SELECT
        day,
        action_id,
        max(CASE WHEN blame_rank = 1 THEN blame END)
        - coalesce(max(CASE WHEN blame_rank = 2 THEN blame END), 0) AS margin
    FROM shared
    WHERE blame_rank <= 2
    GROUP BY day, action_id
)

SELECT
    shared.day, -- day on which the action began [not null]
    shared.action_id, -- the action that failed [not null]
    shared.position, -- place among the action's steps, dense from 0 [not null] [0..]
    shared.action_type, -- class of the task; empty where it was not told [not null]
    shared.goal_id, -- the goal pursued; of its own where the action has none [not null]
    shared.blame, -- share of the failure; sums to 1 per action [not null] [0..1]
    shared.blame_rank, -- 1 for the step with most; of equal ones the earlier first [not null] [1..]
    shared.evidence_kind, -- contrast, repetition or prior_only: what it rests on at most [not null]
    CASE WHEN shared.evidence_kind = 'contrast' THEN 'contrast' ELSE 'prior' END
        AS estimate, -- the row of attribution.estimate_floors that it has to be above the floor in [not null]
    shared.method, -- the method that speaks for the class (attribution.blame_methods) [not null]
    CAST(shared.failures AS BIGINT) AS failures, -- failing runs of the goal in 28 days [not null] [1..]
    CAST(shared.passes AS BIGINT) AS passes, -- passing runs of it [not null] [0..]
    shared.labelled_actions, -- labelled actions of the class; 0 where the prior comes of contrast or of other classes
    -- [not null] [0..]
    led.margin, -- blame of the action's first step less that of the runner-up [not null] [0..1]
    shared.day AS stats_through -- last day of the statistics that it rests on [not null]
FROM shared
INNER JOIN led ON shared.day = led.day AND shared.action_id = led.action_id
