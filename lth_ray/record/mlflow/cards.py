"""Charts and saved views in the form that MLflow's own pages read.

That form is documented nowhere: it was found in MLflow 3.17, and VERSIONS is where it is known to hold. A browser shows
in tests/browser that it does.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

VERSIONS = ">=3.17,<3.18"
TAG = "mlflow.sharedViewState."  # of an experiment, before a view's key
MADE_BY_MLFLOW = ("Model metrics", "System metrics")  # sections of one chart for each metric
MOST_RUNS = 100  # a page of runs that MLflow loads: what lies beyond is drawn only once somebody asks for more
CARD_HEIGHT = 400  # pixels
SCHEME = "deflate;"
WORKFLOW = "workflowType=machine_learning"  # without it MLflow opens its "GenAI" side, which has no registry

Card = Mapping[str, Any]
Range = tuple[float, float]


def line_card(
    title: str,
    metric: str,
    x_metric: str = "",
    x_range: Range | None = None,
    y_range: Range | None = None,
    is_log: bool = False,
    beside: Sequence[str] = (),
) -> Card:
    """Return a line for each run or group: `metric` against another one where given, else against the step.

    x_range: from left to right, so that (1, 0) falls to the right.
    is_log: the axis of steps, which drops step 0; MLflow has no such axis for a metric.
    beside: further metrics, with lines of their own.
    """
    limits: dict[str, float] = {}
    for axis, values in (("x", x_range), ("y", y_range)):
        if values is not None:
            limits |= {f"{axis}Min": values[0], f"{axis}Max": values[1]}
    name = "-".join(title.lower().split())
    return {
        "uuid": name,
        "metricSectionId": f"of-{name}",
        "type": "LINE",
        "displayName": title,
        "metricKey": metric,
        "selectedMetricKeys": [metric, *beside],
        "lineSmoothness": 0,
        "xAxisKey": "metric" if x_metric else "step",
        "selectedXAxisMetricKey": x_metric,
        "xAxisScaleType": "log" if is_log else "linear",
        "scaleType": "linear",
        "range": limits,
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
        "displayPoints": True,
        "runsCountToCompare": MOST_RUNS,
        "deleted": False,
        "isGenerated": False,
    }


def view_state(cards: Iterable[Card], search: str, group_by: Sequence[str], columns: Sequence[str]) -> dict[str, Any]:
    """Return what a page of runs looks like: the cards, each under its title, MLflow's own charts folded
    away.

    search: which runs.
    group_by: params whose runs are drawn as one line, their mean in a band from minimum to maximum.
    columns: of the table of runs, such as "params.`seed`".
    """
    cards = list(cards)
    sections = [_section(card["metricSectionId"], card["displayName"]) for card in cards]
    folded = [_section(name.lower().replace(" ", "-"), name, display=False) for name in MADE_BY_MLFLOW]
    keys = [{"mode": "param", "groupByData": name} for name in group_by]
    return {
        "searchFilter": search,
        "orderByKey": "attributes.start_time",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "SHOWALL",
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsExpanded": {},
        "groupsExpanded": {},
        "compareRunCharts": cards,
        "compareRunSections": [*sections, *folded],
        "isAccordionReordered": True,
        "viewMaximized": False,
        "runListHidden": True,
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "useGroupedValuesInCharts": True,
        "groupBy": {"aggregateFunction": "average", "groupByKeys": keys} if keys else None,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _section(uuid: str, name: str, display: bool = True) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "name": name,
        "display": display,
        "isReordered": True,
        "deleted": False,
        "isGenerated": False,
        "columns": 1,
        "cardHeight": CARD_HEIGHT,
    }


def encode(name: str, state: Mapping[str, Any], moment: int) -> str:
    """Return the value of a view's tag.

    moment: milliseconds since 1970.
    """
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    return json.dumps({"name": name, "createdAt": moment, "updatedAt": moment, "state": SCHEME + packed})


def decode(tag: str) -> tuple[str, dict[str, Any]]:
    """Return the name and state of a view's tag. Raise ValueError for anything else."""
    found = json.loads(tag)
    scheme, _, packed = found["state"].partition(";")
    if scheme + ";" != SCHEME:
        raise ValueError(f"a view's state begins with {SCHEME!r}, not {scheme!r}")
    return found["name"], json.loads(zlib.decompress(base64.b64decode(packed)))


def fragment(experiment: str, key: str) -> str:
    """Return where a view opens, below an MLflow server's address."""
    return f"/#/experiments/{experiment}/runs?viewStateShareKey={key}&compareRunsMode=CHART&{WORKFLOW}"
