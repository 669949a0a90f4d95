"""Every setting of oplake, once: its environment variable, its default and what it is for.

Nothing else reads the environment. Code takes a `Settings` (or the one value it needs) as an argument.
"""

from __future__ import annotations

import json
import os
import re
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

CHECKOUT = Path(__file__).resolve().parents[2]
"""The folder above `pipelines/`; the root of the project when oplake runs from a checkout."""


BUDGET_SCOPES = ("total", "user", "project")
"""What a budget can be set for."""

MOST_BUDGET_USD = 1_000_000_000  # what the column of a limit holds

PREFIX = "OPLAKE_"
"""What the names of all variables begin with."""

NONE, DAY, LONGEST = timedelta(0), timedelta(days=1), timedelta(days=36_500)  # longer than that no clock goes back

# delta-rs takes % for an escape, DuckDB = for a partition and the rest for a pattern; a line break ends a file's name
UNSAFE = frozenset("%=*?[\n")
"""What the path of a lake must not contain."""

_SIZE = re.compile(r"(?=.*[1-9])\d+(\.\d+)?\s*([KMGT](i?B)?|%)", re.IGNORECASE)  # of memory, as DuckDB reads it; no 0


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def is_checkout() -> bool:
    """Whether oplake runs from a checkout of its project, not from an installed wheel."""
    return (CHECKOUT / "pyproject.toml").is_file() and (CHECKOUT / "sql").is_dir()


def default_home() -> Path:
    """`data/` of the checkout; for an installed wheel, `~/.oplake`."""
    return CHECKOUT / "data" if is_checkout() else Path.home() / ".oplake"


class Settings(BaseSettings):
    """Settings come from `OPLAKE_<NAME>` in the environment, else from the defaults below."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    home: Path = Field(default_factory=default_home, description="Folder that holds all state.")
    first_day: date = Field(
        default=date(2024, 1, 1),
        description="First daily partition (UTC). Earlier events are landed and ingested; models begin here.",
    )
    segment_bytes: int = Field(default=64 * 2**20, gt=0, description="Size at which a segment is sealed.")
    segment_age: timedelta = Field(
        default=timedelta(days=1), ge=NONE, le=LONGEST, description="Age at which a segment is sealed."
    )
    ingest_bytes: int = Field(default=64 * 2**20, gt=0, description="Bytes of landing taken in per commit.")
    duckdb_memory: str = Field(default="2GB", description="Memory limit of a DuckDB computation.")
    duckdb_threads: int = Field(default=2, gt=0, description="Threads of a DuckDB computation.")
    vacuum_after: timedelta = Field(
        default=timedelta(days=7),
        ge=NONE,
        le=LONGEST,
        description="Files of older table versions are deleted; rounded up to whole hours.",
    )
    token: SecretStr | None = Field(
        default=None, description="What clients of `oplake serve` must send; needed on any address but loopback."
    )
    reports_kept: timedelta = Field(
        default=timedelta(days=90),
        ge=DAY,
        le=LONGEST,
        description="Reports and evaluations that were written longer ago are removed. Plans, error analyses and "
        "wordings stay: other tables are made of them.",
    )
    notes_kept: timedelta | None = Field(
        default=None,
        ge=DAY,
        le=LONGEST,
        description="Notes of older days are removed, from landing and its archive too; none: they are kept. What was "
        "made of them stays.",
    )
    operations_kept: timedelta | None = Field(
        default=None, ge=DAY, le=LONGEST, description="The same for operations, the events `op`."
    )
    runs_kept: timedelta = Field(
        default=timedelta(days=30), ge=NONE, le=LONGEST, description="Dagster runs older than this are purged."
    )

    playbook_probation: int = Field(
        default=3,
        ge=0,
        description="Playbook entries on probation that a session or action is offered besides the active ones, each "
        "of them others. From the next publication on.",
    )
    playbook_withheld: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of sessions or actions from which a playbook entry is withheld at random, so that its "
        "effect can be measured; with 0 it cannot. From the next publication on.",
    )

    tail: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Files that others append to, followed line by line: paths, patterns such as `~/agents/*.jsonl`, "
        "or folders (their `*.jsonl`), joined by `:`. Files named `overseer_corrections…` hold rows of an overseer, "
        "all others events of the contract.",
    )

    llm_url: str | None = Field(
        default=None,
        description="Base URL of an OpenAI-style server, such as `https://api.example.com/v1`, for the assets that "
        "write prose. Without it the embedded author `extractive` writes them, and nothing is asked of anybody.",
    )
    llm_provider: str = Field(
        default="", description="Who that is, as `sessions.prices` says, such as `openai`; without it the host's name."
    )
    llm_key: SecretStr | None = Field(default=None, description="Its key.")
    llm_flash: str = Field(default="", description="Its model for short work; without it that of `OPLAKE_LLM_PRO`.")
    llm_pro: str = Field(default="", description="Its model for reports and plans; without it `OPLAKE_LLM_FLASH`'s.")
    llm_fallback_url: str | None = Field(
        default=None, description="Another such server, asked for the rest of a run once the first has failed."
    )
    llm_fallback_provider: str = Field(default="", description="Who that is; without it the host's name.")
    llm_fallback_key: SecretStr | None = Field(default=None, description="Its key.")
    llm_fallback_flash: str = Field(default="", description="Its model for short work.")
    llm_fallback_pro: str = Field(default="", description="Its model for reports and plans.")
    llm_context_tokens: int = Field(default=128_000, gt=0, description="Tokens that all these models can read.")
    llm_run_usd: Decimal | None = Field(
        default=None,
        ge=0,
        description="US dollars that one run may spend on models, whichever tables it writes; all that one "
        "`oplake write` does is one run. None: as many as the day's.",
    )
    llm_day_usd: Decimal | None = Field(
        default=None,
        ge=0,
        description="US dollars that may be spent on models in a day (UTC); none: no limit. Under a limit a model "
        "without a price in `sessions.prices` is not asked.",
    )

    meta_evaluations_most: int = Field(
        default=50, ge=0, description="Users that one run evaluates in a window of six hours; the others wait."
    )
    daily_reports_most: int = Field(default=30, ge=0, description="Users that one run writes a report of a day about.")
    meta_plans_most: int = Field(default=20, ge=0, description="Users that one run plans a month for.")
    error_analyses_most: int = Field(default=50, ge=0, description="Error patterns of a day that one run analyses.")
    wordings_most: int = Field(default=20, ge=0, description="Entries of the playbook that one run words.")

    @field_validator("tail", mode="before")
    @classmethod
    def _as_paths(cls, given: Any) -> Any:
        """As PATH is written; the daemon and a shell stand in different folders, so that only whole paths will do."""
        paths = filter(None, given.split(os.pathsep)) if isinstance(given, str) else given
        whole = tuple(str(Path(path).expanduser()) for path in paths)
        for path in whole:
            if not Path(path).is_absolute():
                raise ValueError(f"{path} is no whole path; begin it with / or ~")
        return whole

    @field_validator("duckdb_memory")
    @classmethod
    def _as_size(cls, given: str) -> str:
        """What DuckDB would refuse only once a connection is made, in words of its own."""
        if not _SIZE.fullmatch(given.strip()):
            raise ValueError("that is no size of memory; write one such as 2GB or 512MiB")
        return given

    @field_validator("llm_url", "llm_fallback_url")
    @classmethod
    def _as_url(cls, given: str | None) -> str | None:
        """A server that cannot be asked is told here, not when the first report is due."""
        if given and not _is_address(given):
            raise ValueError("that is no address of a server; write one such as https://api.example.com/v1")
        return given

    budgets: Annotated[dict[str, Decimal], NoDecode] = Field(
        default_factory=dict,
        description='What may be spent in a day, in US dollars, as JSON: `{"total": 50, "user": 5, "user:ann": 20, '
        '"project": 10}`. `user` and `project` are for each that has no limit of its own.',
    )

    @field_validator("budgets", mode="before")
    @classmethod
    def _as_object(cls, given: Any) -> Any:
        """JSON, read here so that what is none is told as every other wrong setting is."""
        try:
            found = json.loads(given, parse_float=Decimal) if isinstance(given, str) else given
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ValueError('that is no JSON object; write one such as {"total": 50, "user": 5}')
        return found

    @field_validator("budgets")
    @classmethod
    def _as_limits(cls, budgets: dict[str, Decimal]) -> dict[str, Decimal]:
        """What the table `sessions.budgets` can hold; a misspelt limit would watch over nothing."""
        for key, limit in budgets.items():
            scope, colon, name = key.partition(":")
            if scope not in BUDGET_SCOPES or (colon and (scope == "total" or not name)):
                raise ValueError(f"there is no limit {key!r}; write total, user, project, user:NAME or project:NAME")
            if not (limit.is_finite() and 0 <= limit < MOST_BUDGET_USD):
                raise ValueError(f"the limit of {key} is {limit}; it must be from 0 to below {MOST_BUDGET_USD:,}")
        return budgets

    playbook_successes: int = Field(
        default=5, gt=0, description="Successes within 28 days from which on playbook candidates are worked out."
    )
    playbook_class_successes: int = Field(
        default=3,
        gt=0,
        description="Those of one task class and endpoint that its candidates need; also how often a pattern, an error "
        "or a correction that worked has to occur.",
    )
    playbook_active: int = Field(
        default=12, gt=0, description="Playbook entries of a task class that are active at the same time."
    )
    playbook_exposures: int = Field(
        default=200, gt=0, description="Times that an entry is shown or withheld before it is judged by its effect."
    )
    playbook_unconfirmed: int = Field(
        default=180,
        gt=0,
        description="Days without new evidence after which an entry without a proven effect is retired.",
    )

    @field_validator("home")
    @classmethod
    def _as_folder(cls, home: Path) -> Path:
        """As a shell would take it; what is no folder is told here, not by whatever would first write into it."""
        home = home.expanduser()
        if home.exists() and not home.is_dir():
            raise ValueError("it is a file, not a folder")
        if bad := sorted(UNSAFE & set(str(home.absolute()))):
            raise ValueError(
                f"no lake can live in {home.absolute()}, as the path contains {' '.join(map(repr, bad))}; "
                f"choose a folder such as {Path.home() / 'oplake'}"
            )
        return home

    @property
    def landing(self) -> Path:
        """Folder of the segments."""
        return self.home / "landing"

    @property
    def archive(self) -> Path:
        """Folder of the sealed, fully ingested segments."""
        return self.landing / "archive"

    @property
    def lake(self) -> Path:
        """Folder of the Delta tables."""
        return self.home / "lake"

    @property
    def prices(self) -> Path:
        """Own prices: `provider,model,token_type,usd_per_mtok,valid_from,from_input_tokens`. It need not be there."""
        return self.home / "prices.csv"

    @property
    def served(self) -> Path:
        """The playbook entries that agents are served, moved into place whenever they change."""
        return self.home / "served.json"

    @property
    def views(self) -> Path:
        """DuckDB file that holds one view per table and nothing else."""
        return self.home / "oplake.duckdb"

    @property
    def cursors(self) -> Path:
        """How far the files of `OPLAKE_TAIL` have been read."""
        return self.home / "tail.json"

    @property
    def dagster_home(self) -> Path:
        """Folder of Dagster's own records."""
        return self.home / "dagster"
