"""The cast of a simulation: who works, for whom, at what, and what can go wrong. Texts and numbers only, no events.

Everything here is invented. The figures are the truth that estimates are later held against, so they stand beside
what they govern.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from oplake.simulate.dice import Dice
from oplake.simulate.truth import EntryKind, EntryTruth

GOALS_PER_CLASS = 12  # few enough that a week of demo data runs each goal several times
MIXED_DIFFICULTY = (-0.10, 0.30)  # from easier to harder than its class; both ends keep passes and failures


@dataclass(frozen=True)
class Stage:
    """One right move of a class of task."""

    decision: str
    text: str  # may name {thing}
    tool: str | None = None  # what the move asks; it reports `key`
    key: str | None = None  # what the tool reports and later steps believe
    actor: str | None = None


@dataclass(frozen=True)
class Trap:
    """One wrong move that a class of task invites, taken instead of a stage."""

    cause: str
    instead_of: int  # index into the stages
    decision: str
    text: str
    why: str
    error: str  # message template; {n} a number, {id} an id, {thing} the goal's subject


Expectation = Literal["count", "amount", "true", "zero", "severity"]


@dataclass(frozen=True)
class TaskClass:
    """A class of task: its path, its traps and its chances."""

    name: str
    success: float  # of an average agent on an average goal, unstrained, without playbook
    goal: str  # "fill {thing}"
    things: tuple[str, ...]
    stages: tuple[Stage, ...]
    traps: tuple[Trap, ...]
    skippable: int  # the stage that is sometimes left out; the next one then decides the failure
    loops_at: int  # the stage that an agent sometimes never gets past
    expects: tuple[tuple[str, Expectation], ...]
    criteria: tuple[str, ...]
    asks: str  # what a user says at the beginning
    answers: str  # what the agent says at the end of a success


CLASSES: tuple[TaskClass, ...] = (
    TaskClass(
        name="fill_shift",
        success=0.82,
        goal="fill the shift for {thing}",
        things=(
            "wedding-austin", "gala-boston", "expo-denver", "concert-miami", "marathon-chicago", "banquet-seattle",
            "tasting-portland", "launch-dallas", "festival-nashville", "regatta-annapolis", "premiere-atlanta",
            "rodeo-houston",
        ),
        stages=(
            Stage("search_staffers", "Search staffers near {thing} by role and rating", "staffers.search",
                  "candidates"),
            Stage("check_availability", "Check who is free for the hours of {thing}", "calendar.free", "available"),
            Stage("rank_candidates", "Rank the free ones by rating, distance and past no-shows"),
            Stage("send_offers", "Send offers to the best ranked for {thing}", "offers.send", "accepted"),
            Stage("confirm_roster", "Confirm the roster of {thing} with the client", "roster.confirm", "confirmed"),
        ),
        traps=(
            Trap("double_booking", 1, "trust_cached_calendar", "Use yesterday's calendar snapshot for {thing}",
                 "The snapshot was stale, so offers went to staffers already booked elsewhere.",
                 "Offer {id} rejected: staffer {n} is already booked for these hours"),
            Trap("too_far_away", 2, "rank_by_rating_only", "Rank candidates by rating and nothing else",
                 "The best rated lived too far away and declined.",
                 "Roster short by {n}: candidates declined, distance over 90 miles"),
        ),
        skippable=1,
        loops_at=3,
        expects=(("filled", "count"), ("no_shows", "zero"), ("is_confirmed", "true")),
        criteria=("every role is filled an hour before doors", "the client has confirmed the roster"),
        asks="We still need people for {thing}. Can you fill it today?",
        answers="{thing} is staffed and confirmed with the client.",
    ),
    TaskClass(
        name="refund_order",
        success=0.86,
        goal="settle the refund of {thing}",
        things=(
            "headphones", "rain-jacket", "espresso-machine", "desk-lamp", "hiking-boots", "air-fryer", "monitor",
            "backpack", "yoga-mat", "bike-helmet", "keyboard", "tent",
        ),
        stages=(
            Stage("look_up_order", "Look up the order of the {thing}", "orders.get", "order_total_usd"),
            Stage("verify_customer", "Verify name and postcode of the caller", "customers.verify", "match_score"),
            Stage("check_policy", "Check the return window for the {thing}", "policy.lookup", "days_left"),
            Stage("issue_refund", "Refund the {thing} to the original card", "payments.refund", "refund_ref"),
            Stage("respond", "Tell the customer when the money arrives"),
        ),
        traps=(
            Trap("window_closed", 2, "assume_thirty_days", "Assume the usual thirty days for the {thing}",
                 "The item was on clearance and had a return window of seven days.",
                 "Refund {id} declined: return window closed {n} days ago"),
            Trap("wrong_payment_method", 3, "refund_to_gift_card", "Refund the {thing} to a gift card",
                 "Policy wants the original payment method.",
                 "Policy violation P-{n}: refund must go to the original payment method"),
        ),
        skippable=1,
        loops_at=3,
        expects=(("refunded_usd", "amount"), ("is_policy_followed", "true")),
        criteria=("money goes back the way it came", "the customer knows the date"),
        asks="My {thing} arrived broken and I want my money back.",
        answers="Your refund for the {thing} is on its way; allow three working days.",
    ),
    TaskClass(
        name="fix_bug",
        success=0.72,
        goal="fix {thing}",
        things=(
            "login-timeout", "csv-export-encoding", "cart-rounding", "webhook-retries", "timezone-drift",
            "pagination-off-by-one", "search-ranking-nulls", "upload-resume", "cache-stampede", "invoice-pdf-fonts",
            "oauth-refresh", "flaky-scheduler",
        ),
        stages=(
            Stage("plan_work", "Plan how to reproduce and fix {thing}", actor="planner"),
            Stage("reproduce", "Write a failing test for {thing}", "shell.run", "failing_tests", actor="coder"),
            Stage("locate_fault", "Search the code for the cause of {thing}", "code.search", "matches", actor="coder"),
            Stage("write_patch", "Patch the smallest thing that explains {thing}", "files.edit", "lines_changed",
                  actor="coder"),
            Stage("run_tests", "Run the whole suite", "shell.run", "passed", actor="coder"),
            Stage("review_patch", "Review the change to {thing} line by line", actor="reviewer"),
            Stage("open_pull_request", "Open the pull request for {thing}", "git.push", "pull_request",
                  actor="planner"),
        ),
        traps=(
            Trap("symptom_patched", 2, "patch_the_symptom", "Catch the exception of {thing} where it surfaces",
                 "The cause was two calls further up; the symptom came back elsewhere.",
                 "{n} tests failed after the patch, first: test_regression_{id}"),
            Trap("api_invented", 3, "call_remembered_api",
                 "Use a library call remembered for {thing} without looking it up",
                 "The call does not exist in the installed version.",
                 "AttributeError: module has no attribute 'retry_{id}' (line {n})"),
        ),
        skippable=1,
        loops_at=4,
        expects=(("tests_pass", "true"), ("new_failures", "zero")),
        criteria=("a test fails before the change and passes after it", "no other test fails"),
        asks="Could you look into {thing}? It bites us in production.",
        answers="{thing} is fixed, with a test that failed before; the pull request is open.",
    ),
    TaskClass(
        name="answer_question",
        success=0.78,
        goal="answer the question about {thing}",
        things=(
            "heat-pump-subsidies", "battery-recycling", "rail-freight-share", "olive-harvest", "port-congestion",
            "copper-demand", "rural-broadband", "fish-quotas", "night-trains", "wheat-futures", "nurse-shortage",
            "data-centre-water",
        ),
        stages=(
            Stage("plan_search", "Split the question about {thing} into searches"),
            Stage("search_web", "Search for primary sources on {thing}", "web.search", "hits"),
            Stage("read_source", "Read the statistics office's page on {thing}", "web.read", "figure"),
            Stage("cross_check", "Compare the figure on {thing} with a second source", "web.read", "second_figure"),
            Stage("respond", "Answer with the figure on {thing} and its sources"),
        ),
        traps=(
            Trap("outdated_source", 2, "quote_first_blog", "Take the figure on {thing} from the first blog found",
                 "The blog quoted a figure from four years before.",
                 "Citation check failed: source {id} is {n} months older than the question allows"),
            Trap("query_too_broad", 1, "search_broadly", "Search for {thing} in one broad query",
                 "The right source never came up.",
                 "No supported answer: 0 of {n} results mention the quantity asked for"),
        ),
        skippable=3,
        loops_at=1,
        expects=(("is_supported", "true"), ("sources", "count")),
        criteria=("every number has a source", "sources are younger than a year"),
        asks="What do we know about {thing}? I need a number I can quote.",
        answers="Here is the figure on {thing}, with two sources that agree.",
    ),
    TaskClass(
        name="reconcile_invoices",
        success=0.84,
        goal="reconcile the invoices of {thing}",
        things=(
            "acme-logistics", "birch-and-son", "cobalt-media", "delta-catering", "elm-textiles", "fjord-shipping",
            "granite-legal", "harbour-foods", "indigo-print", "juniper-care", "kestrel-air", "lumen-power",
        ),
        stages=(
            Stage("fetch_invoices", "Fetch this month's invoices of {thing}", "ledger.fetch", "invoices"),
            Stage("fetch_payments", "Fetch the payments to {thing}", "bank.fetch", "payments"),
            Stage("match_by_reference", "Match payments to invoices of {thing} by reference", "ledger.match",
                  "unmatched"),
            Stage("convert_currency", "Convert foreign amounts at the day's rate", "rates.get", "rate_permille"),
            Stage("post_entries", "Post the matched entries of {thing}", "ledger.post", "posted"),
        ),
        traps=(
            Trap("matched_by_amount", 2, "match_by_amount", "Match payments to invoices of {thing} by amount alone",
                 "Two invoices had the same amount and were swapped.",
                 "Ledger out of balance by {n} cents at entry {id}"),
            Trap("stale_rate", 3, "reuse_last_rate", "Reuse last month's exchange rate",
                 "The rate had moved, and the totals no longer met.",
                 "Rate {id} rejected: {n} days old, at most 1 allowed"),
        ),
        skippable=3,
        loops_at=4,
        expects=(("matched", "count"), ("difference_usd", "zero")),
        criteria=("nothing is posted twice", "the difference is zero"),
        asks="Please close the month for {thing}.",
        answers="{thing} is reconciled to the cent.",
    ),
    TaskClass(
        name="book_travel",
        success=0.80,
        goal="book the trip to {thing}",
        things=(
            "lisbon", "osaka", "montreal", "nairobi", "oslo", "santiago", "prague", "hanoi", "cape-town", "dublin",
            "athens", "wellington",
        ),
        stages=(
            Stage("get_profile", "Read the traveller's profile", "profiles.get", "loyalty_points"),
            Stage("search_fares", "Search fares to {thing}", "fares.search", "fare_usd"),
            Stage("check_travel_policy", "Check the fare to {thing} against the policy", "policy.lookup", "limit_usd"),
            Stage("ask_to_confirm", "Ask the traveller to confirm the trip to {thing}"),
            Stage("book_fare", "Book the fare to {thing}", "fares.book", "booking"),
            Stage("respond", "Send the itinerary for {thing}"),
        ),
        traps=(
            Trap("booked_unconfirmed", 3, "book_without_asking", "Book the fare to {thing} at once, before it rises",
                 "The traveller wanted another date.",
                 "Cancellation {id}: traveller had not confirmed, fee {n} USD"),
            Trap("basic_fare", 1, "take_cheapest_fare", "Take the cheapest fare to {thing} whatever its rules",
                 "The fare allowed no bag and no change.",
                 "Fare rule {n} forbids changes to booking {id}"),
        ),
        skippable=2,
        loops_at=1,
        expects=(("is_booked", "true"), ("fare_usd", "amount")),
        criteria=("the traveller confirmed before booking", "the fare is within policy"),
        asks="I have to be in {thing} next week, please book me something sensible.",
        answers="You are booked to {thing}; the itinerary is in your mail.",
    ),
    TaskClass(
        name="triage_incident",
        success=0.70,
        goal="triage the incident in {thing}",
        things=(
            "checkout-api", "search-index", "mail-relay", "auth-gateway", "image-resizer", "billing-cron", "event-bus",
            "feature-flags", "session-store", "cdn-edge", "report-builder", "push-service",
        ),
        stages=(
            Stage("read_alert", "Read the alert of {thing} and its history", "alerts.get", "error_rate_percent",
                  actor="watcher"),
            Stage("query_logs", "Query the logs of {thing} around the first error", "logs.query", "log_lines",
                  actor="watcher"),
            Stage("compare_deploys", "Compare what was deployed to {thing} before it began", "deploys.list", "deploys",
                  actor="analyst"),
            Stage("form_hypothesis", "State the likeliest cause of trouble in {thing}", actor="analyst"),
            Stage("roll_back", "Roll {thing} back to the release before", "deploys.roll_back", "release",
                  actor="operator"),
            Stage("verify_recovery", "Watch the error rate of {thing} for five minutes", "metrics.get",
                  "errors_per_minute",
                  actor="operator"),
        ),
        traps=(
            Trap("restarted_blindly", 2, "restart_service", "Restart {thing} to see whether it helps",
                 "The fault was in the release, and the restart lost the evidence.",
                 "Pod {thing}-{id} crashed again after {n} s (exit code 137)"),
            Trap("wrong_dashboard", 1, "read_staging_dashboard", "Read the dashboard of {thing} in staging",
                 "Staging was healthy; production was not.",
                 "Error budget of {thing} exhausted: {n} % of the month used"),
        ),
        skippable=3,
        loops_at=5,
        expects=(("is_resolved", "true"), ("severity", "severity")),
        criteria=("the error rate is back to normal for five minutes",),
        asks="{thing} is paging. What is going on?",
        answers="{thing} recovered after the rollback; the hypothesis is in the ticket.",
    ),
    TaskClass(
        name="write_report",
        success=0.76,
        goal="write the report on {thing}",
        things=(
            "q1-churn", "supplier-risk", "warehouse-safety", "pricing-test", "support-backlog", "hiring-funnel",
            "cloud-spend", "returns-by-region", "app-ratings", "fleet-mileage", "energy-use", "partner-survey",
        ),
        stages=(
            Stage("outline", "Outline the report on {thing}", actor="editor"),
            Stage("gather_figures", "Gather the figures on {thing}", "warehouse.query", "rows", actor="researcher"),
            Stage("draft_sections", "Draft the sections on {thing}", "docs.write", "words", actor="writer"),
            Stage("check_figures", "Check every figure in the draft against its query", "warehouse.query", "mismatches",
                  actor="researcher"),
            Stage("edit_and_publish", "Edit and publish the report on {thing}", "docs.publish", "page", actor="editor"),
        ),
        traps=(
            Trap("wrong_period", 1, "reuse_saved_query", "Reuse a saved query for {thing}",
                 "The saved query still had last quarter's dates.",
                 "Review {id}: figures are for the wrong quarter in {n} places"),
            Trap("figures_invented", 2, "draft_before_figures", "Draft the text on {thing} with placeholder figures",
                 "Two placeholders were never replaced.",
                 "Review {id}: {n} figures have no query behind them"),
        ),
        skippable=3,
        loops_at=1,
        expects=(("sections", "count"), ("is_reviewed", "true")),
        criteria=("every figure can be traced to a query",),
        asks="I need the report on {thing} by tonight.",
        answers="The report on {thing} is published; every figure links to its query.",
    ),
)  # fmt: skip

CHILD_CLASS = "answer_question"  # a report delegates its questions, so that actions form trees
PARENT_CLASS = "write_report"

WORLD_ERRORS = {
    "service_unavailable": "HTTP 503 from {tool} after 3 tries (request {id})",
    "rate_limited": "{tool}: rate limit exceeded, retry after {n} s",
    "connection_reset": "connection to {tool} reset by peer (attempt {n})",
}
"""Errors of the world: no choice of an agent brings them about."""

LOOP_ERROR = ("stuck_in_loop", "gave up on {tool} after {n} identical calls")
BELIEF_ERROR = ("contradicted_belief", "precondition failed: {key} is not {n}")
SKIP_ERROR = ("check_left_out", "validation {id} failed: required check missing before step {n}")


@dataclass(frozen=True)
class Agent:
    """An agent, how good it is, and how far its clock is off."""

    agent_id: str
    classes: tuple[str, ...]
    skill: float  # added to the probability of success
    clock_ahead_ms: int = 0


AGENTS: tuple[Agent, ...] = (
    Agent("atlas", ("fill_shift", "book_travel"), 0.06),
    Agent("juno", ("fill_shift", "refund_order", "answer_question"), 0.0),
    Agent("sable", ("refund_order", "reconcile_invoices"), 0.04),
    Agent("quill", ("answer_question", "write_report"), 0.05),
    Agent("pinion", ("fix_bug", "triage_incident"), 0.08, clock_ahead_ms=180_000),  # a laptop three minutes ahead
    Agent("tinker", ("fix_bug",), -0.10),
    Agent("harbor", ("triage_incident", "reconcile_invoices"), -0.04),
    Agent("compass", ("book_travel", "write_report"), -0.06),
)


@dataclass(frozen=True)
class User:
    """A user, and how the tone of the notes moves over the weeks."""

    user_id: str
    name: str
    patience: float  # chance of a kind note after a failure
    trend: float  # added to patience per week


_USER_NAMES = (
    "Ana Ribeiro", "Ben Okafor", "Chloe Laurent", "Dmitri Volkov", "Elena Rossi", "Farid Haddad", "Grace Kim",
    "Hugo Lindqvist", "Ines Moreau", "Jonas Weber", "Keiko Tanaka", "Liam Byrne", "Mara Novak", "Noah Mensah",
    "Olga Petrova", "Priya Nair", "Quentin Dubois", "Rosa Delgado", "Samir Khan", "Tess Morgan",
)  # fmt: skip

USERS: tuple[User, ...] = tuple(
    User(f"u-{name.lower().replace(' ', '-')}", name, 0.15 + 0.03 * (index % 5), (-0.04, 0.0, 0.05)[index % 3])
    for index, name in enumerate(_USER_NAMES)
)


@dataclass(frozen=True)
class Model:
    """A model and what its provider charges."""

    provider: str
    name: str
    tier: str
    input_usd: int | None  # per million tokens; None: nothing is charged, or it is not known
    output_usd: int | None


MODELS: tuple[tuple[Model, float], ...] = (
    (Model("northwind", "nw-large-2", "pro", 3, 15), 0.4),
    (Model("northwind", "nw-mini-2", "flash", 1, 4), 0.35),
    (Model("ollama", "gpt-oss:120b", "pro", None, None), 0.15),
    (Model("northwind", "nw-reason-1", "reasoning", 12, 60), 0.1),
)

PRAISE = (
    "That was quick, thank you.",
    "Exactly what I needed. The sources helped.",
    "Saved me an hour this morning.",
    "Clear answer, nothing to add.",
    "Please keep doing it this way, asking first is good.",
)
PATIENCE = (
    "Not there yet, but I see what it tried.",
    "Wrong result, though the explanation was honest.",
    "It failed and told me so at once. Fine, I will wait.",
)
COMPLAINTS = (
    "Third time this week that I have to redo it by hand.",
    "It did not listen. I had said which date I wanted.",
    "I would rather have heard 'I do not know'.",
    "Confident and wrong is worse than slow.",
    "The figure was from the wrong quarter again.",
)
OPERATOR_NOTES = (
    "Watch the refunds to gift cards; finance has asked twice.",
    "Northwind announced maintenance, expect fallbacks.",
    "Please mention the double bookings in the next report.",
)


@dataclass(frozen=True)
class Advice:
    """Advice that an overseer gives after a failed operation."""

    task_class: str
    reason: str
    advice: str
    effect: float  # added to the next attempt's probability of success


ADVICE: tuple[Advice, ...] = (
    Advice("fill_shift", "candidates decline", "Widen the radius to 40 miles and raise the rate by 2 USD.", 0.30),
    Advice("fill_shift", "candidates decline", "Send the same offers again with an apology.", 0.0),
    Advice("staffing_search", "no results", "Search by the parent role, then filter by certificate.", 0.25),
    Advice("staffing_search", "no results", "Search again with more exclamation marks.", -0.05),
    Advice("answer_question", "answer unsupported", "Ask for the table of the statistics office by name.", 0.20),
    Advice("answer_question", "answer unsupported", "Think step by step.", 0.0),
)

FIRST_ATTEMPT = 0.55  # probability that an operation succeeds at the first attempt
RETRIES = (0.40, 0.28, 0.18)  # without advice, of the second, third and fourth attempt: what is left is harder
ADVISED = (0.30, 0.50, 0.70)  # share of the second, third and fourth attempts that get advice: the harder, the more


@dataclass(frozen=True)
class Scenario:
    """An operation of the staffing gateway that is tried up to four times."""

    task_class: str
    endpoint: str
    asks: str
    error: tuple[str, str]  # cause and template


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("fill_shift", "fill_scenario", "{count} x {role} for a {event} in {city}",
             ("offers_declined", "only {n} of {count} offers accepted for {role} in {city}")),
    Scenario("staffing_search", "hybrid_search", "{role} within 25 miles of {city}, rated 4+",
             ("nothing_found", "no staffer matches filter set {id} ({n} filters)")),
    Scenario("answer_question", "ask", "How many {role}s did we place in {city} last month?",
             ("answer_unsupported", "answer rejected by the checker: {n} claims without a source")),
)  # fmt: skip
ROLES = ("bartender", "server", "line cook", "security guard", "stagehand", "usher")
EVENTS = ("wedding", "gala", "trade fair", "concert", "marathon")
CITIES = (
    ("Austin", "TX"), ("Boston", "MA"), ("Denver", "CO"), ("Miami", "FL"), ("Chicago", "IL"), ("Seattle", "WA"),
)  # fmt: skip

_DEEDS = {
    "fill_shift": ("Phone the three best ranked before sending offers.", "Keep the client's name in every offer.",
                   "Send all offers at once and let the first come win."),
    "refund_order": ("Read the item's own return window before promising anything.", "Greet the customer by name.",
                     "Offer a gift card first; it is faster."),
    "fix_bug": ("Write the failing test before touching the code.", "Prefix branch names with the date.",
                "Patch first, then see which tests complain."),
    "answer_question": ("Start from the statistics office, not from news.", "Keep answers under 200 words.",
                        "Quote the first result to save time."),
    "reconcile_invoices": ("Match by reference, and by amount only within one invoice.", "Work in supplier order.",
                           "Round all amounts to whole dollars before matching."),
    "book_travel": ("Repeat dates and fare rules and wait for a yes.", "Prefer morning departures.",
                    "Book first, confirm later: fares rise."),
    "triage_incident": ("List the deploys of the last hour first.", "Post an update every ten minutes.",
                        "Restart the service before anything else."),
    "write_report": ("Attach the query to each figure while drafting.", "Use the short template.",
                     "Draft with placeholder figures and fill them in at the end."),
}  # fmt: skip
_HELPS, _HARMS = (0.12, 0.15, 0.18, 0.20), (-0.12, -0.15, -0.18, -0.20)


def _entries() -> tuple[EntryTruth, ...]:
    made: list[EntryTruth] = []
    for index, (task_class, deeds) in enumerate(_DEEDS.items()):
        effects: tuple[tuple[EntryKind, float], ...] = (
            ("helpful", _HELPS[index % 4]),
            ("neutral", 0.0),
            ("harmful", _HARMS[(index + 1) % 4]),
        )
        made.extend(
            EntryTruth(entry_id=f"{task_class}-{number}", task_class=task_class, do=do, kind=kind, effect=effect)
            for number, (do, (kind, effect)) in enumerate(zip(deeds, effects, strict=True), start=1)
        )
    return tuple(made)


ENTRIES: tuple[EntryTruth, ...] = _entries()

WITHHELD_SHARE = 0.10  # of the entries that would be shown, to learn what they are worth
STRAINED_SHARE = 0.40  # of the runs; estimates do not see it
STRAIN = 0.25  # taken off the probability of success of a strained run
OFFERED: dict[EntryKind, tuple[float, float]] = {
    "helpful": (0.15, 0.85),
    "neutral": (0.35, 0.55),
    "harmful": (0.85, 0.15),
}
"""Chance that an entry is called for, unstrained and strained: this confounds exposure with difficulty."""


@dataclass(frozen=True)
class Goal:
    """Something to be done, again and again; its texts are ready to be used."""

    goal_id: str
    thing: str
    kind: TaskClass  # with {thing} filled in
    difficulty: float
    traps: tuple[Trap, ...]  # those of its class that this goal invites
    expected: dict[str, float | int | bool | str]
    entries: tuple[EntryTruth, ...]


def goals(seed: int) -> tuple[Goal, ...]:
    """The goals of a world, the same for the same seed."""
    dice = Dice("goals", seed)
    low, high = MIXED_DIFFICULTY
    made = []
    for kind in CLASSES:
        entries = tuple(entry for entry in ENTRIES if entry.task_class == kind.name)
        for index, thing in enumerate(kind.things[:GOALS_PER_CLASS]):
            difficulty = dice.between(int(low * 100), int(high * 100)) / 100
            filled = _about(kind, thing)
            # Most goals invite one wrong turn, some both: contrast within a goal is then clear, but not trivial.
            traps = filled.traps if dice.chance(0.3) else (filled.traps[index % 2],)
            expected = {key: _expectation(what, dice) for key, what in kind.expects}
            made.append(Goal(f"{kind.name}/{thing}", thing, filled, difficulty, traps, expected, entries))
    return tuple(made)


def _about(kind: TaskClass, thing: str) -> TaskClass:
    return replace(
        kind,
        goal=kind.goal.replace("{thing}", thing),
        asks=kind.asks.replace("{thing}", thing),
        answers=kind.answers.replace("{thing}", thing),
        stages=tuple(replace(stage, text=stage.text.replace("{thing}", thing)) for stage in kind.stages),
        traps=tuple(
            replace(
                trap,
                text=trap.text.replace("{thing}", thing),
                error=trap.error.replace("{thing}", thing),
            )
            for trap in kind.traps
        ),
    )


def _expectation(what: Expectation, dice: Dice) -> float | int | bool | str:
    if what == "count":
        return dice.between(3, 12)
    if what == "amount":
        return dice.between(4_000, 60_000) / 100
    if what == "severity":
        return dice.pick(("SEV1", "SEV2", "SEV3"))
    return True if what == "true" else 0
