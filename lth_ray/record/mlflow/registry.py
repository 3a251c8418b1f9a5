"""Tickets of a matching verdict in MLflow's Model Registry.

A verdict is made over seeds, when a report is: once every lineage of the study is finished, its tickets, one of each
seed, become versions of a model that is named like the study, under aliases such as `matching-k500-r7`. A verdict that
no longer holds takes its alias back.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lth_ray.config import Metric
from lth_ray.lottery import Lineage, Plan
from lth_ray.lottery.stop_rule import ending
from lth_ray.record.mlflow.models import Models, Place
from lth_ray.record.mlflow.runs import CONTENT, DIGEST, STORAGE
from lth_ray.record.report.comparisons import DENSE
from lth_ray.record.report.summary import series_of
from lth_ray.record.report.tables import Row
from lth_ray.record.report.wording import percent, points
from lth_ray.store import Store

MATCHING = "matching"
SEED = "lth.seed"


@dataclass(frozen=True)
class Matching:
    """A ticket that a verdict is about.

    aliases: the verdict's own for the first seed's ticket, each seed's besides.
    """

    digest: str
    content: str
    aliases: tuple[str, ...]
    description: str
    tags: Mapping[str, str]


def is_finished(plan: Plan, tickets: Iterable[Row]) -> bool:
    """Return whether every lineage has its last round, or one that ends it.

    Verdicts are corrected for their number in the study, so that those of a study at work are not its last
    word.
    """
    rows: dict[str, list[Row]] = {}
    for row in tickets:
        rows.setdefault(row["lineage"], []).append(row)
    return all(_is_whole(lineage, rows.get(lineage.id, ())) for lineage in plan.lineages)


def _is_whole(lineage: Lineage, rows: Sequence[Row]) -> bool:
    if not rows:
        return False
    last = max(rows, key=lambda row: row["round"])
    number, judged = last["round"], lineage.recipe.task.metric.judged(last)
    return (
        number == lineage.prune.num_rounds or ending(last["diverged_at"], judged, lineage.stop_rule(number)) is not None
    )


def matching_tickets(plan: Plan, tickets: Iterable[Row], comparisons: Iterable[Row]) -> list[Matching]:
    """Return the tickets, one of each seed, of every series and round that matches its dense network."""
    verdicts = {
        (row["series"], row["round"]): row
        for row in comparisons
        if row["against"] == DENSE and row["matching"] == MATCHING
    }
    lineages, metric = {lineage.id: lineage for lineage in plan.lineages}, plan.study.data.metric
    found, taken = [], set[str]()
    for row in sorted(tickets, key=lambda row: (row["round"], row["seed"])):
        verdict = verdicts.get((series_of(row), row["round"]))
        if verdict is None or row[metric.column("test")] is None:
            continue
        alias = alias_of(series_of(row), row["round"])
        aliases = tuple(name for name in (alias, f"{alias}-seed{row['seed']}") if name not in taken)
        taken |= {*aliases}
        digest = lineages[row["lineage"]].digest(row["round"])
        tags = {SEED: str(row["seed"]), "lth.lineage": row["lineage"], "lth.round": str(row["round"])}
        found.append(Matching(digest, row["content"], aliases, _words(row, verdict, metric), tags))
    return found


def alias_of(series: str, number: int) -> str:
    """Return "matching-k500-r7": as MLflow takes it."""
    return f"{MATCHING}-{re.sub(r'[^A-Za-z0-9_-]+', '-', series).strip('-')}-r{number}"


def register(client: Any, experiment: str, plan: Plan, store: Store, matching: Iterable[Matching]) -> int:
    """Bring the registry to exactly these tickets, those that are in MLflow; return how many are there.

    Again, it adds none.

    A version is identified by its ticket's digest and content, wherever its storage lay: a study whose storage was
    moved or copied keeps its versions. One whose verdict no longer holds goes, unless another storage made it.
    """
    name = plan.study.name
    wanted = {(one.digest, one.content): one for one in matching}
    there: dict[tuple[str, str], Any] = {}
    for version in list(_versions(client, name)):  # all pages, before any goes
        identity = _identity(version.tags)
        if identity in wanted:
            there.setdefault(identity, version)
        elif version.tags.get(STORAGE) == store.uri:
            client.delete_model_version(name, version.version)
    held = _aliases(client, name)
    models = Models(client, experiment, store).ready() if wanted.keys() - there.keys() else {}
    new = [identity for identity in wanted if identity in models and identity not in there]
    if new:
        _make(client, name)
    for identity in new:  # all before the first alias: with each new version MLflow reads every alias that there is
        there[identity] = _version(client, models[identity], name, wanted[identity], store.uri)
    for identity, version in there.items():
        for alias in wanted[identity].aliases:
            if held.get(alias) != str(version.version):
                client.set_registered_model_alias(name, alias, version.version)
    return len(there)


def _version(client: Any, model: Place, name: str, one: Matching, storage: str) -> Any:
    """Return a new version, of a ticket's model."""
    tags = {DIGEST: one.digest, CONTENT: one.content, STORAGE: storage, **one.tags}
    return client.create_model_version(
        name,
        model.artifacts,
        run_id=model.run_id,
        tags=tags,
        description=one.description,
        model_id=model.model_id,
        await_creation_for=0,
    )


def _versions(client: Any, name: str) -> Iterator[Any]:
    """Yield every version of a model, which MLflow gives in pages and without aliases."""
    token = None
    while True:
        page = client.search_model_versions(f"name = '{name}'", max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _aliases(client: Any, name: str) -> dict[str, str]:
    """Return {alias: version} of a model, all in one read; none of a model that is not there yet."""
    from mlflow.exceptions import MlflowException

    try:
        return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}


def _make(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description="Tickets that match their dense network, over seeds.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _identity(tags: Mapping[str, str]) -> tuple[str, str]:
    return tags.get(DIGEST, ""), tags.get(CONTENT, "")


def _words(row: Row, verdict: Row, metric: Metric) -> str:
    return (
        f"Round {row['round']} of {row['lineage']}: {percent(row['remaining_weights'])} of the weights, "
        f"{metric.printed(row[metric.column('test')])} test {metric.called}. Over n = {verdict['n']} seeds less than "
        f"{points(verdict['margin'], metric=metric)} worse than the dense network (difference "
        f"{points(verdict['difference'], sign=True, metric=metric)}, one-sided paired t test, p = "
        f"{verdict['matching_p']:.2g} by Holm's correction over the study)."
    )
