"""The names of Ray that it does not publish and that are used, in one place."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from lth_ray.unpublished import asked

NEEDED = {  # name of Ray: what is lost without it
    "ray._private.state.state.get_draining_nodes": "no checkpoint is asked for when a node is about to be preempted",
    "ray._private.state.state.get_placement_group_table": "what waits for room is not named, and what lost workers "
    "held is free only when the run ends",
    "ray._private.worker._global_node": "a Ray that has died is noticed late",
    "ray._private.parameter.RayParams": "a Ray of one's own may meet the port of another on this machine",
    "ray._private.services.canonicalize_bootstrap_address_or_die": '"auto" is no address: give HOST:PORT',
    "ray.train.v2._internal.exceptions.WorkerGroupStartupTimeoutError": "workers that found no room count as lost ones",
}


def draining_nodes() -> set[str]:
    """Return the nodes that are being drained."""

    def look() -> set[str]:
        from ray._private.state import state

        return set(state.get_draining_nodes())

    return asked("ray._private.state.state.get_draining_nodes", NEEDED, look, set())


def placement_groups() -> list[Any]:
    """Return the placement groups of the cluster, as Ray's messages."""

    def look() -> list[Any]:
        from ray._private.state import state
        from ray.core.generated.gcs_pb2 import PlacementGroupTableData

        table = state._connect_and_get_accessor().get_placement_group_table()
        return [PlacementGroupTableData.FromString(group) for group in table]

    return asked("ray._private.state.state.get_placement_group_table", NEEDED, look, [])


def own_node() -> Any:
    """Return the node that this process has started or joined; None where there is none, or it is being shut down."""

    def look() -> Any:
        from ray._private import worker

        return worker._global_node

    return asked("ray._private.worker._global_node", NEEDED, look, None)


def bootstrap_address() -> str:
    """Return HOST:PORT of the cluster of this machine. Raise ConnectionError where there is none, or several."""

    def look() -> str:
        from ray._private.services import canonicalize_bootstrap_address_or_die

        return str(canonicalize_bootstrap_address_or_die("auto"))

    found = asked("ray._private.services.canonicalize_bootstrap_address_or_die", NEEDED, look, "")
    if not found:
        raise ConnectionError("this version of Ray does not say where its cluster is: give HOST:PORT")
    return found


@contextmanager
def any_port() -> Iterator[None]:
    """Give a Ray that is started a free port for its agent.

    By default that has 52365: the one that another head on this machine, started meanwhile, needs. ray.init
    has no such option, and `ray start` has.
    """

    def look() -> Any:
        from ray._private import parameter

        assert callable(parameter.RayParams)
        return parameter

    module = asked("ray._private.parameter.RayParams", NEEDED, look, None)
    if module is None:
        yield
        return
    made = module.RayParams
    module.RayParams = partial(made, dashboard_agent_listen_port=0)
    try:
        yield
    finally:
        module.RayParams = made


def found_no_room(failure: object) -> bool:
    """Return whether the failure of Ray Train's controller is that its workers found no room in time."""

    def look() -> bool:
        from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

        return isinstance(failure, WorkerGroupStartupTimeoutError)

    return asked("ray.train.v2._internal.exceptions.WorkerGroupStartupTimeoutError", NEEDED, look, False)
