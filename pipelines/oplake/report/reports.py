"""What there is to read of a day, from the lake: the team's report, one for each user, and error analyses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import duckdb

from oplake import events
from oplake.lake.spec import check_name
from oplake.report.content import Report
from oplake.synthesis.tables import daily_reports, error_analyses, lake_report, meta_evaluations, meta_plans
from oplake.synthesis.writing import OVER_BUDGET, OVER_CAP, Writing

STAGES = "users.plan_stages"
LEFT_OUT = (
    (daily_reports.WRITING, "user", "a report"),
    (meta_evaluations.WRITING, "user", "an evaluation"),
    (meta_plans.WRITING, "user", "a plan"),
    (error_analyses.WRITING, "error pattern", "an analysis"),
)
"""What may have to wait, and how that is told."""

HAPPENED = tuple(events.TABLES[kind] for kind in ("note", "turn", "op", "action_begun"))
"""Events that reports tell of; those before `BY_USERS` say whose they are."""

BY_USERS = 2


class NoReport(Exception):
    """There is no report to show; the message says what to do."""


@dataclass(frozen=True)
class UserReports:
    """What is known of one user: the day's report, the latest evaluation, and the plan that is followed."""

    user_id: str
    report: Report | None
    evaluation: Report | None
    plan: Report | None

    @property
    def all(self) -> list[Report]:
        """Those that there are."""
        return [each for each in (self.report, self.evaluation, self.plan) if each]

    @property
    def is_absent(self) -> bool:
        """Whether the user was not there."""
        return self.report is not None and bool(self.report.row["inactivity_flag"])


@dataclass(frozen=True)
class Reports:
    """All reports of a day."""

    day: date
    team: Report | None
    users: tuple[UserReports, ...]
    errors: tuple[Report, ...]
    left_out: tuple[str, ...] = ()  # of whom nothing is written yet, in sentences
    is_of_one: bool = False  # whether one user was asked for

    @property
    def present(self) -> list[UserReports]:
        """The users of whom there is something to read, or who were asked for."""
        if self.is_of_one:
            return list(self.users)
        return [user for user in self.users if user.report and not user.is_absent and not _waits(user.report)]

    @property
    def absent(self) -> list[str]:
        """The users who were not there."""
        return [user.user_id for user in self.users if user.is_absent and not self.is_of_one]


def _waits(report: Report) -> bool:
    return report.row["status"] in {OVER_BUDGET, OVER_CAP}


def reports_of(connection: duckdb.DuckDBPyConnection, day: date | None = None, user_id: str | None = None) -> Reports:
    """The reports of a day, by default the latest that has one; of one user only, where one is named.

    Raises:
        NoReport: There is none.
    """
    asked = _Asked(connection, user_id)
    latest = asked.latest_day()
    whom = f" of {user_id}" if user_id else ""
    if latest is None:
        raise NoReport(f"there is no report{whom} yet; {asked.advice(day)}")
    day = day or latest
    mine = asked.by_user(daily_reports.WRITING, day)
    evaluations = asked.latest_by_user(meta_evaluations.WRITING, day)
    # A Monday's plan is made of what was reported up to the day before.
    plans = asked.with_endings(asked.latest_by_user(meta_plans.WRITING, day + timedelta(days=1)))
    users = {user_id} if user_id else set(mine)
    found = Reports(
        day,
        None if user_id else next(iter(asked.of_day(lake_report.WRITING, day)), None),
        tuple(UserReports(user, mine.get(user), evaluations.get(user), plans.get(user)) for user in sorted(users)),
        () if user_id else tuple(asked.of_day(error_analyses.WRITING, day)),
        tuple(asked.left_out(day)),
        is_of_one=user_id is not None,
    )
    if not (found.team or found.errors or any(user.all for user in found.users)):
        raise NoReport(f"there is no report{whom} of {day}: the latest is of {latest}; {asked.advice(day)}")
    return found


@dataclass(frozen=True)
class _Asked:
    """A lake that is asked for reports, of all users or of one."""

    connection: duckdb.DuckDBPyConnection
    user_id: str | None

    def latest_day(self) -> date | None:
        """The last day that has a report."""
        tables = (daily_reports.WRITING,) if self.user_id else (daily_reports.WRITING, lake_report.WRITING)
        query = "SELECT max(day) AS day FROM {table} WHERE {user}"
        days = (row["day"] for what in tables for row in self._rows(what.name, query) if row["day"])
        return max(days, default=None)

    def advice(self, day: date | None) -> str:
        """What to do for a report, of a day or of any; what is due is recent, and history may all be older."""
        query = """
            SELECT max(day) AS day FROM {table}
            WHERE {user} AND source IS DISTINCT FROM $own AND ($day IS NULL OR day = $day)
        """
        tables = HAPPENED[:BY_USERS] if self.user_id else HAPPENED
        found = (self._rows(table, query, own=events.SYNTHESIS, day=day) for table in tables)
        last = max((row["day"] for rows in found for row in rows if row["day"]), default=None)
        due = "`oplake write` writes what is due"
        if last is None:
            return due
        return f"{due}; there are events of {last}: `oplake write --from {last}` writes of them, once that day is over"

    def of_day(self, what: Writing, day: date) -> list[Report]:
        """The rows of a day: those with most to tell first, where their table says how much that is."""
        rows = self._rows(what.name, "FROM {table} WHERE day = $day", day=day)
        rows.sort(key=lambda row: (-row.get("failure_count", 0), *(str(row[name]) for name in what.key)))
        return [Report(what, row) for row in rows]

    def by_user(self, what: Writing, day: date) -> dict[str, Report]:
        """The rows of a day by user."""
        rows = self._rows(what.name, "FROM {table} WHERE day = $day AND {user}", day=day)
        return {row["user_id"]: Report(what, row) for row in rows}

    def latest_by_user(self, what: Writing, day: date) -> dict[str, Report]:
        """The last row of each user, up to a day, that has an answer."""
        query = """
            FROM {table} WHERE day <= $day AND {user} AND status IN ('ok', 'raw')
            QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY "partition" DESC) = 1
        """
        return {row["user_id"]: Report(what, row) for row in self._rows(what.name, query, day=day)}

    def left_out(self, day: date) -> Iterator[str]:
        """How many users, and how many error patterns, wait for room or money, by what they wait for."""
        query = """
            SELECT status, count(*) AS waiting FROM (
                SELECT DISTINCT status, {key} FROM {table} WHERE day = $day AND {user} AND status LIKE 'skipped%'
            )
            GROUP BY status ORDER BY status
        """
        for what, noun, lacking in LEFT_OUT:
            if self.user_id and "user_id" not in what.key:
                continue
            key = ", ".join(what.key)
            for row in self._rows(what.name, query.replace("{key}", key), day=day):
                plural = "" if row["waiting"] == 1 else "s"
                yield f"{row['waiting']:,} {noun}{plural} without {lacking} ({row['status']})"

    def with_endings(self, plans: Mapping[str, Report]) -> dict[str, Report]:
        """Plans whose stages say when they are due and what became of them."""
        rows = self._rows(STAGES, "FROM {table} WHERE {user}") if plans else []
        endings = {(row["user_id"], row["planned_on"], row["position"]): row for row in rows}
        found = {}
        for user, plan in plans.items():
            stages = [
                _with_ending(stage, endings.get((user, plan.row["day"], position)))
                for position, stage in enumerate(plan.row["stages"] or ())
            ]
            found[user] = Report(plan.what, {**plan.row, "stages": stages})
        return found

    def _rows(self, table: str, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a table; none where it was never made."""
        schema, name = check_name(table)
        exists = "SELECT 1 FROM information_schema.tables WHERE table_schema = $schema AND table_name = $name"
        if not self.connection.execute(exists, {"schema": schema, "name": name}).fetchall():
            return []
        user = "true"
        if self.user_id is not None and "{user}" in query:
            user, parameters["user_id"] = "user_id = $user_id", self.user_id
        asked = self.connection.sql(query.format(table=table, user=user), params=parameters or None)
        rows: list[dict[str, Any]] = asked.to_arrow_table().to_pylist()
        return rows


def _with_ending(stage: Mapping[str, Any], ending: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A stage of a plan with its days, where they are known yet, in the place of their numbers."""
    if ending is None:
        return stage
    state = f"{ending['ending']} on {ending['ended_on']}" if ending["ending"] else "going on"
    days = {
        "due": f"{ending['begins_on']} to {ending['expected_on']}",
        "given_up_after": ending["expires_on"],
        "state": state,
    }
    return (
        {name: stage[name] for name in ("name", "sub_goals")} | days | {"failure_strategy": stage["failure_strategy"]}
    )
