"""Every named query of Horizon, read: which job reads what and writes which column from which."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources
from pathlib import Path

import sqlglot

import horizon
from horizon.lake.engines.definitions import over_the_hot_store
from horizon.observe.lineage.dictionary import (
    DIALECT,
    Dictionary,
    dictionary,
    with_temporary,
)
from horizon.observe.lineage.model import (
    NOTHING,
    Column,
    Kind,
    Origin,
    Relation,
    Value,
    Write,
    given,
    joined,
)
from horizon.observe.lineage.reader import Reader
from horizon.observe.lineage.scope import OthersTableError, UnreadableQueryError
from horizon.postgres.queries import Queries

VIEWS = "view"  # the job of what views make of their tables

_COPY = re.compile(r"\bCOPY (\w+) \(([^)]*)\)\s+FROM STDIN")
_COMMENTS = re.compile(r"--.*")
_MOVES_DATA = re.compile(r"\W*(WITH|SELECT|INSERT|UPDATE|DELETE|MERGE|VALUES)\b")
_NOT_SQL = (
    ("%%", "%"),
    ("{scores}", "scores"),  # a run's partition
    ("{events}(%(profile_id)s)", "events"),  # a profile's
    ("OVERRIDING SYSTEM VALUE", ""),
)
_HOW = {
    "": (Kind.IDENTITY, False),
    "computed": (Kind.TRANSFORMATION, False),
    "hashed": (Kind.TRANSFORMATION, True),
}


@dataclass
class Job:
    """``writes`` by query: "scoring.write_scores" -> what it writes."""

    name: str
    reads: set[str] = field(default_factory=set)
    writes: list[tuple[str, Write]] = field(default_factory=list)


@dataclass(frozen=True)
class Flows:
    """flows.toml."""

    jobs: Mapping[str, list[str]]
    outside: Mapping[str, list[str]]
    copy: Mapping[str, Mapping[str, Mapping[str, str | list[str]]]]
    parameters: Mapping[str, Mapping[str, str | list[str]]]
    rows: Mapping[str, Mapping[str, list[str]]]

    def jobs_of(self, query: str) -> list[str]:
        package = query.rpartition(".")[0]
        return self.jobs.get(query) or self.jobs.get(package) or [package.rpartition(".")[2]]


@cache
def flows() -> Flows:
    text = (resources.files("horizon.observe.lineage") / "flows.toml").read_text()
    return Flows(**tomllib.loads(text))


@cache
def named_queries() -> Mapping[str, str]:
    """``scoring.write_scores`` -> its text, of every package."""
    root = Path(horizon.__path__[0])
    found = {}
    for path in sorted(root.rglob("queries.sql")):
        package = ".".join(path.parent.relative_to(root).parts)
        queries = Queries(f"horizon.{package}")
        found.update({f"{package}.{name}": str(queries[name]) for name in queries.names()})
    return {**found, **_definitions(root)}


def _definitions(root: Path) -> dict[str, str]:
    """``scoring.scores``, over the relations that engines give it."""
    found = {}
    for path in sorted(root.rglob("definitions.sql")):
        package = ".".join(path.parent.relative_to(root).parts)
        texts = Queries(f"horizon.{package}", path.name)
        for name in texts.names():
            found[f"{package}.{name}"] = over_the_hot_store(texts[name])
    return found


class Jobs:
    """Read at the first question. ``expand`` goes through views down to their tables."""

    def __init__(
        self,
        queries: Mapping[str, str] | None = None,
        known: Dictionary | None = None,
        declared: Flows | None = None,
        *,
        expand: bool = False,
    ) -> None:
        self._queries = named_queries() if queries is None else queries
        self.known, self._temporary = with_temporary(known or dictionary(), self._queries.values())
        self._filled: dict[str, Relation] = {}  # temporary tables, by what was put into them
        self.flows = declared or flows()
        self.prepared: set[str] = set()  # queries that fill temporary tables
        self.unread: dict[str, str] = {}  # query -> why it could not be followed
        self.others: dict[str, str] = {}  # those that ask for other tables than ours
        self._expand = expand
        self._given: dict[str, Relation] = {}

    @cached_property
    def all(self) -> Mapping[str, Job]:
        jobs: dict[str, Job] = {}
        for query, text in self._queries.items():
            for name in self.flows.jobs_of(query):
                self._add(jobs.setdefault(name, Job(name)), query, text)
        if not self._expand:
            jobs[VIEWS] = self._views()
        return jobs

    def _add(self, job: Job, query: str, text: str) -> None:
        text = _plain(text)
        copied = _COPY.search(text)
        if copied:
            write = self._copied(job.name, copied[1], re.findall(r"\w+", copied[2]))
            job.writes.append((query, write))
            job.reads |= _tables(write.columns.values())
            return
        if not _MOVES_DATA.match(_COMMENTS.sub("", text)):
            self.others[query] = "it moves no data"
            return
        try:
            _, reader = self._read(query, text, job.name)
            carried = self._carried(self._parameters(query, job.name).values())
        except OthersTableError as exc:
            self.others[query] = str(exc)
            return
        except Exception as exc:  # noqa: BLE001 - one query must not take the others' lineage away
            self.unread[query] = str(exc)  # test_lineage_coverage.py: there is none
            return
        job.reads |= reader.trace.reads
        for write in reader.trace.writes:
            told = replace(write, whole=write.whole | carried)
            if told.table in self._temporary:
                self._fill(told)
                self.prepared.add(query)
                continue
            job.writes.append((query, told))
            job.reads |= _tables([*told.columns.values(), told.whole])

    def _fill(self, write: Write) -> None:
        """What a temporary table holds comes from all that put rows into it."""
        table = self.known.tables[write.table]
        before = self._filled.get(write.table, Relation({}))
        columns = {
            name: joined([write.columns[name], before.columns.get(name, NOTHING)])
            for name in table.columns
        }
        self._filled[write.table] = Relation(columns, write.whole | before.whole)

    def _read(self, query: str, text: str, job: str = "") -> tuple[Relation, Reader]:
        text = _plain(text)
        declared = self._parameters(query, job)
        parameters = {name: self.declared(flow) for name, flow in declared.items()}
        reader = Reader(self.known, parameters, expand=self._expand, filled=self._filled)
        return reader.query(sqlglot.parse(text, dialect=DIALECT)[0]), reader  # type: ignore[arg-type]

    def _parameters(self, query: str, job: str) -> Mapping[str, str | list[str]]:
        flows = self.flows.parameters
        return flows.get(f"{job}:{query}") or flows.get(query, {})

    def _copied(self, job: str, table: str, columns: Iterable[str]) -> Write:
        declared = self.flows.copy.get(job, {}).get(table, {})
        written = {name: self.declared(declared[name]) for name in columns if name in declared}
        known = self.known.tables[table]
        for name in known.columns.keys() - written.keys():
            written[name] = given(known.filled[name]) if name in known.filled else NOTHING
        return Write(table, written, self._carried(declared.values()))

    def declared(self, flow: str | list[str]) -> Value:
        """``"segment_api.userId, identity.asked_opt_ins.email: hashed"``, or words of our own."""
        if isinstance(flow, list):
            return joined(map(self.declared, flow))
        names = _names(flow)
        if not names:
            return given(flow)
        return joined(map(self._named, names)).through(*_HOW[flow.partition(": ")[2]])

    def _named(self, name: str) -> Value:
        place, _, column = name.rpartition(".")
        if "." not in place:  # a table's column, or something from outside
            self._check(place, column)
            return Value(frozenset({Origin(Column(place, column))}))
        relation = self._read_once(place)
        if column not in relation.columns:
            raise UnreadableQueryError(f"{place} gives no {column}")
        return relation.columns[column]

    def _carried(self, flows: Iterable[str | list[str]]) -> Value:
        """Which rows code had in its hands, when it carried values from those queries."""
        texts = [text for flow in flows for text in ([flow] if isinstance(flow, str) else flow)]
        places = {name.rpartition(".")[0] for text in texts for name in _names(text)}
        return joined(self._read_once(place).whole for place in sorted(places) if "." in place)

    def _read_once(self, query: str) -> Relation:
        if query not in self._given:
            self._given[query], _ = self._read(query, self._queries[query])
        return self._given[query]

    def _check(self, table: str, column: str) -> None:
        stored = self.known.tables.get(table)
        names = stored.columns if stored else self.flows.outside.get(table, ())
        if column not in names:
            raise UnreadableQueryError(f"flows.toml names {table}.{column}, which there is not")

    def _views(self) -> Job:
        job = Job(VIEWS)
        for name, view in self.known.views.items():
            reader = Reader(self.known)
            relation = reader.query(view)
            job.reads |= reader.trace.reads
            job.writes.append((name, Write(name, relation.columns, relation.whole)))
        return job

    def columns(self) -> Iterator[Column]:
        """Every column that lineage can be asked about."""
        stored = (table for name, table in self.known.tables.items() if name not in self._temporary)
        for table in stored:
            yield from (Column(table.name, name) for name in table.columns)
        for name, view in self.known.views.items():
            yield from (Column(name, one) for one in Reader(self.known).query(view).columns)
        for place, fields in self.flows.outside.items():
            yield from (Column(place, one) for one in fields)


@cache
def read_jobs(*, expand: bool = False) -> Jobs:
    """This Horizon's, read once a process: 0.5 s."""
    return Jobs(expand=expand)


def _plain(text: str) -> str:
    for what, instead in _NOT_SQL:
        text = text.replace(what, instead)
    return text


def _names(flow: str) -> list[str]:
    """The columns that a flow names; none where it is words of our own."""
    names = flow.partition(": ")[0]
    found = re.fullmatch(r"[\w.]+\.\w+(, [\w.]+\.\w+)*", names)
    return names.split(", ") if found else []


def _tables(values: Iterable[Value]) -> set[str]:
    return {origin.column.table for value in values for origin in value.origins}
