"""Links to a study's MLflow record for a person: its views, and what was registered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lth_ray.config import ConfigError
from lth_ray.lottery import Plan, ticket_rows
from lth_ray.record.mlflow.cards import WORKFLOW, decode, fragment
from lth_ray.record.mlflow.destination import Destination, check_alive, destination, prepare_environment
from lth_ray.record.mlflow.registry import is_finished, matching_tickets, register
from lth_ray.record.mlflow.saved_views import first_line, our_tags
from lth_ray.record.mlflow.views import PREFIX, TITLES
from lth_ray.record.report.tables import Row
from lth_ray.store import Store

UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens unless it is told otherwise


@dataclass(frozen=True)
class Entrance:
    """The facts about a record that a person is told.

    command: that opens the record, "" where a server shows it anyway.
    links: {view: address}, the first view first.
    registered: tickets of a matching verdict in the Model Registry.
    registry: where that shows them.
    warning: what went wrong, "" where nothing did.
    """

    where: str
    command: str
    links: Mapping[str, str]
    registered: int = 0
    registry: str = ""
    warning: str = ""


def entrance(
    plan: Plan, store: Store, tracking_uri: str | None = None, comparisons: Iterable[Row] | None = None
) -> Entrance:
    """Return where the record of a study is to be seen.

    With comparisons (rows of `comparisons`), registers the matching once every lineage is finished.

    Raises nothing: a server that is down is a warning.
    """
    where = destination(store.uri, tracking_uri)
    command, address = opens(where)
    try:
        client, experiment = _experiment(plan.study.name, where)
        if experiment is None:
            return Entrance(where.uri, command, {})
        links = links_of(experiment.tags, experiment.experiment_id, address)
        count = 0
        tickets = [] if comparisons is None else ticket_rows(plan, store)
        if comparisons is not None and is_finished(plan, tickets):
            matching = matching_tickets(plan, tickets, comparisons)
            count = register(client, experiment.experiment_id, plan, store, matching)
    except ConfigError as error:
        return Entrance(where.uri, command, {}, warning=str(error))
    except Exception as error:  # nothing that was trained or reported may hang on it
        said = f"MLflow at {where.uri} was not asked ({type(error).__name__}: {first_line(error)})"
        return Entrance(
            where.uri, command, {}, warning=f"{said}; `lth-ray replay {plan.study.name}` brings it up to date"
        )
    return Entrance(
        where.uri, command, links, count, f"{address}/#/models/{plan.study.name}?{WORKFLOW}" if count else ""
    )


def opens(where: Destination) -> tuple[str, str]:
    """Return the command that shows a record, "" for a server's, and the address that its pages are then at."""
    if where.uri.startswith(("http://", "https://")):
        return "", where.uri.rstrip("/")
    return f"mlflow ui --backend-store-uri {where.uri}", UI


def links_of(tags: Mapping[str, str], experiment: str, address: str) -> dict[str, str]:
    """Return {name of a view: where it opens}, of the views that lth_ray has written to an experiment."""
    found = {key: decode(value)[0] for key, value in our_tags(tags).items()}
    return {found[key]: address + fragment(experiment, key) for key in sorted(found, key=_place)}


def _place(key: str) -> tuple[int, str]:
    """Return the place of a view: that of the metric, whose name it has, comes first."""
    kinds = [i for i, kind in enumerate(TITLES) if key.startswith(PREFIX + kind)]
    return (kinds or [-1])[0], key


def _experiment(name: str, where: Destination) -> tuple[Any, Any | None]:
    """Return the client, and the study's experiment; None where there is none yet. Make no database."""
    if where.artifacts is not None and not Path(where.uri.removeprefix("sqlite:///")).exists():
        return None, None
    prepare_environment()
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=where.uri)
    found = client.get_experiment_by_name(name)
    if found is not None:
        check_alive(found, where)
    return client, found
