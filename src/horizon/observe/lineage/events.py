"""Facts of runs as OpenLineage events: what the run knew, and what the SQL says."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from horizon import __version__
from horizon.observe.lineage.jobs import Job, Jobs, read_jobs
from horizon.observe.lineage.model import NOTHING, Origin, Value, joined, strongest
from horizon.observe.lineage.runs import PIPELINE, Fact

Facet = dict[str, Any]

SPEC = "https://openlineage.io/spec"
EVENT_SCHEMA = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
PRODUCER = f"urn:horizon-cdp:{__version__}"  # who made the event: not an address to ask
SCHEMA = "public"


class Events:
    """Makes events; reads the queries once. ``namespace`` is the jobs', and of what is outside."""

    def __init__(self, namespace: str, jobs: Jobs | None = None) -> None:
        self._namespace = namespace
        self._jobs = jobs or read_jobs(expand=True)

    def event(self, fact: Fact) -> dict[str, Any]:
        job = self._jobs.all.get(fact.job) or Job(fact.job)
        if fact.job == PIPELINE:
            job = Job(PIPELINE)  # its own rows are about runs, not about data
        named = _Names(fact.database, self._namespace, self._jobs)
        return {
            "eventType": fact.event,
            "eventTime": _time(fact.time),
            "producer": PRODUCER,
            "schemaURL": EVENT_SCHEMA,
            "run": {"runId": str(fact.run), "facets": self._run_facets(fact)},
            "job": {
                "namespace": self._namespace, "name": fact.job,
                "facets": {"jobType": facet("2-0-4/JobTypeJobFacet", {
                    "processingType": "BATCH", "integration": "HORIZON",
                    "jobType": "DAG" if fact.job == PIPELINE else "TASK",
                })},
            },
            "inputs": [named.dataset(table) for table in sorted(job.reads)],
            "outputs": self._outputs(job, fact, named),
        }  # fmt: skip

    def _run_facets(self, fact: Fact) -> dict[str, Facet]:
        facets = {
            "nominalTime": facet("1-0-1/NominalTimeRunFacet", {"nominalStartTime": _time(fact.now)})
        }
        if fact.parent is not None:
            job = {"namespace": self._namespace, "name": PIPELINE}
            facets["parent"] = facet(
                "1-2-0/ParentRunFacet", {"run": {"runId": str(fact.parent)}, "job": job}
            )
        if fact.error is not None:
            facets["errorMessage"] = facet(
                "1-0-1/ErrorMessageRunFacet", {"message": fact.error, "programmingLanguage": "SQL"}
            )
        return facets

    def _outputs(self, job: Job, fact: Fact, named: _Names) -> list[dict[str, Any]]:
        outputs = []
        for table in sorted({write.table for _, write in job.writes}):
            dataset = named.dataset(table)
            columns, whole = _written(job, table)
            if columns and fact.event != "START":  # once a run is enough
                dataset["facets"]["columnLineage"] = named.column_lineage(columns, whole)
                dataset["facets"]["lineage"] = named.lineage(columns, whole)
            rows = self._rows(fact, table)
            if rows is not None:
                dataset["outputFacets"] = {
                    "outputStatistics": facet(
                        "1-0-2/OutputStatisticsOutputDatasetFacet", {"rowCount": rows}
                    )
                }
            outputs.append(dataset)
        return outputs

    def _rows(self, fact: Fact, table: str) -> int | None:
        if fact.event == "START":
            return None
        names = self._jobs.flows.rows.get(fact.job, {}).get(table, [])
        counts = [fact.figures[name] for name in names if isinstance(fact.figures.get(name), int)]
        return sum(counts) if counts else None


class _Names:
    """Datasets as OpenLineage names them: PostgreSQL's by server, database and schema."""

    def __init__(self, database: tuple[str, str], namespace: str, jobs: Jobs) -> None:
        self._server, self._database = database
        self._namespace = namespace
        self._jobs = jobs

    def dataset(self, table: str) -> dict[str, Any]:
        facets = {"schema": self._schema(table)}
        tags = _tags().get(table, [])
        if tags:
            facets["tags"] = facet("1-0-0/TagsDatasetFacet", {"tags": tags})
        return {**self._name(table), "facets": facets}

    def _name(self, table: str) -> dict[str, str]:
        if table in self._jobs.flows.outside:
            return {"namespace": self._namespace, "name": table}
        return {"namespace": self._server, "name": f"{self._database}.{SCHEMA}.{table}"}

    def _schema(self, table: str) -> Facet:
        stored = self._jobs.known.tables.get(table)
        if stored is None:
            fields = [{"name": name} for name in self._jobs.flows.outside.get(table, ())]
        else:
            fields = [{"name": name, "type": kind} for name, kind in stored.columns.items()]
        return facet("1-2-0/SchemaDatasetFacet", {"fields": fields})

    def column_lineage(self, columns: Mapping[str, Value], whole: Value) -> Facet:
        fields = {
            name: {"inputFields": self._inputs(value.origins)} for name, value in columns.items()
        }
        return facet(
            "1-2-0/ColumnLineageDatasetFacet",
            {"fields": fields, "dataset": self._inputs(whole.origins)},
        )

    def lineage(self, columns: Mapping[str, Value], whole: Value) -> Facet:
        """The facet that takes columnLineage's place where it is known: it can also say that a
        value comes from the job itself."""
        own = "LineageFacet.json#/$defs/LineageDatasetFacet"
        fields = {
            name: {"inputs": [*self._typed(value.origins), *_from_job(value.reasons)]}
            for name, value in columns.items()
        }
        return facet(f"1-0-0/{own}", {"inputs": self._typed(whole.origins), "fields": fields})

    def _typed(self, origins: Iterable[Origin]) -> list[dict[str, Any]]:
        return [{"type": "DATASET", **one} for one in self._inputs(origins)]

    def _inputs(self, origins: Iterable[Origin]) -> list[dict[str, Any]]:
        inputs: dict[tuple[str, str], dict[str, Any]] = {}
        for origin in strongest(origins):
            column = origin.column
            one = inputs.setdefault(
                (column.table, column.name),
                {**self._name(column.table), "field": column.name, "transformations": []},
            )
            one["transformations"].append(
                {"type": origin.kind.type, "subtype": str(origin.kind), "masking": origin.masking}
            )
        return list(inputs.values())


def facet(name: str, fields: Mapping[str, Any]) -> Facet:
    """``1-0-1/NominalTimeRunFacet``, or the whole address after ``facets/``."""
    if "#" not in name:
        name = f"{name}.json#/$defs/{name.rpartition('/')[2]}"
    return {"_producer": PRODUCER, "_schemaURL": f"{SPEC}/facets/{name}", **fields}


def _written(job: Job, table: str) -> tuple[dict[str, Value], Value]:
    """What all of the job's queries together put into the table."""
    columns: dict[str, Value] = {}
    whole = NOTHING
    for _, write in job.writes:
        if write.table == table:
            whole |= write.whole
            for name, value in write.columns.items():
                columns[name] = joined([columns.get(name, NOTHING), value])
    return dict(sorted(columns.items())), whole


def _from_job(reasons: Iterable[str]) -> list[dict[str, Any]]:
    """Without a name it is the event's own job."""
    told = "; ".join(sorted(reasons))
    if not told:
        return []
    made = {"type": "DIRECT", "subtype": "TRANSFORMATION", "description": told}
    return [{"type": "JOB", "transformations": [made]}]


@cache
def _tags() -> Mapping[str, list[dict[str, str]]]:
    """What the privacy catalogue says of each table's columns."""
    text = (resources.files("horizon.privacy") / "catalogue.toml").read_text()
    tags = {}
    for table, columns in tomllib.loads(text)["table"].items():
        classes = {name: entry.partition(":")[0] for name, entry in columns.items()}
        tags[table] = [
            {"key": "privacy", "value": kind, "source": "horizon", "field": name}
            for name, kind in classes.items()
            if kind != "none"
        ]
    return tags


def _time(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
