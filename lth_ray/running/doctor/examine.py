"""All checks in their order: on this machine, or on every node of a cluster."""

import importlib.metadata
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError

from lth_ray.config import ConfigError
from lth_ray.data import absolute
from lth_ray.record.mlflow.destination import destination
from lth_ray.record.mlflow.reachable import reachable
from lth_ray.running.doctor import checks, joining, mounted, network, probing, shared
from lth_ray.running.doctor.facts import Facts, gather
from lth_ray.running.doctor.finding import NOTE, OK, PROBLEM, Failure, Finding
from lth_ray.running.doctor.node import Probe
from lth_ray.running.doctor.submission import submission
from lth_ray.running.machine import home
from lth_ray.store import StorageError, Store

LIMIT_S = 50.0  # for all waits together
FACTS_S, STORAGE_S, DATA_S, CLOCK_S = 25.0, 15.0, 20.0, 2.0
DRIVER = "driver"
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """The set-up a study would be started with; the flags of the same names."""

    storage: str
    address: str | None = None
    tracking_uri: str | None = None
    data_root: str | None = None
    data: str | None = None
    workers: int = 1
    gpus_per_worker: float = 0.0
    study: str = "digits"


class Examination:
    """Findings as they are made; `findings` may be read at any time, also when it was broken off."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.findings = asked, list[Finding]()
        self._ends = time.monotonic() + LIMIT_S

    def run(self) -> list[Finding]:
        """Return all findings. Never raises for what it examines, and waits LIMIT_S at most for it."""
        mine = Facts(**gather())
        self._installed(mine)
        address = joining.target(self.asked.address)
        store = self._storage()
        self._tracking(one_machine=address is None)
        if address is None:
            self._this_machine(mine)
        else:
            self._cluster(address, mine, store)
        return self.findings

    def _add(self, *findings: Finding) -> None:
        self.findings += findings

    def _left(self, most_s: float) -> float:
        return max(0.1, min(most_s, self._ends - time.monotonic()))

    def _submission(self, nodes: Mapping[str, Mapping[str, float]], dashboard: str | None) -> None:
        found = submission(self.asked, nodes, dashboard, self.findings)
        self._add(*([found] if found is not None else []))

    # On the driver --------------------------------------------------------------------------------------------------

    def _installed(self, mine: Facts) -> None:
        try:
            about = importlib.metadata.metadata("lth_ray")
            needs = importlib.metadata.requires("lth_ray") or []
        except importlib.metadata.PackageNotFoundError:
            remedy = "pip install it in the image or environment, so that its requirements are checked"
            self._add(Finding("installed", NOTE, "lth_ray is imported from a folder, not installed", remedy))
            return
        versions = mine.versions | {name: _version(name) for name in ("mlflow", "safetensors")}
        self._add(*checks.versions_required(versions, about["Requires-Python"] or "", needs))

    def _storage(self) -> Store | None:
        """Open a store for writing, which is itself the test: it publishes one name twice and must win once."""
        try:
            store = within(self._left(STORAGE_S), lambda: Store.open(self.asked.storage, marked=False))
        except StorageError as error:
            self._add(Finding("storage", PROBLEM, *_found_and_remedy(error)))
        except TimeoutError:
            found = f"{self.asked.storage} did not answer in {STORAGE_S:g} s"
            remedy = "is the server mounted or its endpoint up? see the mount, AWS_ENDPOINT_URL and the network"
            self._add(Finding("storage", PROBLEM, found, remedy))
        else:
            self._add(Finding("storage", OK, f"{store.uri} is writable and publishes exactly once"))
            with suppress(StorageError):
                self._add(checks.storage_clock(store.now() - time.time()))
            return store
        return None

    def _tracking(self, one_machine: bool) -> None:
        where = destination(self.asked.storage, self.asked.tracking_uri)
        reach = reachable(where, self._left(5.0))
        result = PROBLEM if not reach.works else NOTE if reach.remedy else OK
        self._add(shared.tracking(where.uri, result, reach.found, reach.remedy, one_machine))

    # On this machine alone ------------------------------------------------------------------------------------------

    def _this_machine(self, mine: Facts) -> None:
        here = {"": mine}
        self._home()
        alone = [*checks.gpus(here, None), *checks.disks(here), *checks.shared_memory(here), *checks.compilers(here)]
        alone += checks.bf16(here)
        if self.asked.gpus_per_worker:
            has = {"this machine": {"GPU": float(len(mine.torch_gpus)), "CPU": float(self.asked.workers)}}
            alone += checks.capacity(has, self.asked.workers, self.asked.gpus_per_worker)
            alone += checks.fractions(self.asked.gpus_per_worker)
            alone += checks.hidden_gpus(here, self.asked.workers, self.asked.gpus_per_worker)
        if self.asked.data:
            alone += shared.data(self.asked.data, {"": self._own_data(self.asked.data)})
        self._add(*(Finding(f.check, f.result, f.found, f.remedy) for f in alone))
        own = {"": {"GPU": float(len(mine.torch_gpus)), "CPU": float(os.cpu_count() or 1)}}
        self._submission(own, None)

    def _home(self) -> None:
        if wrong := home.without_token():
            self._add(Finding("home", PROBLEM, f"{wrong[0]}: {wrong[1]}", wrong[2]))
        if lacking := home.without_cache():
            self._add(Finding("home", NOTE, *lacking))

    def _own_data(self, name: str) -> str | Failure:
        try:
            return within(self._left(DATA_S), lambda: Probe().data(name, self.asked.data_root))
        except ConfigError as error:
            return Failure(str(error))
        except TimeoutError:
            return Failure(f"its digest was not there in {DATA_S:g} s")

    # On every node --------------------------------------------------------------------------------------------------

    def _cluster(self, address: str, mine: Facts, store: Store | None) -> None:
        context = self._join(address)
        if context is None:
            return
        try:
            self._add(joining.dashboard(getattr(context, "dashboard_url", None)))
            nodes = probing.alive_nodes(ray.nodes())
            resources = {node.name: node.resources for node in nodes}
            self._add(*checks.capacity(resources, self.asked.workers, self.asked.gpus_per_worker))
            self._add(*checks.fractions(self.asked.gpus_per_worker))
            with probing.probes(nodes) as handles:
                self._nodes(nodes, handles, mine, store)
            self._submission(resources, getattr(context, "dashboard_url", None))
        finally:
            ray.shutdown()

    def _join(self, address: str) -> Any:
        """Return Ray's context, or None with the reason among the findings."""
        wrong = joining.form(address)
        if wrong:
            self._add(wrong)
            return None
        try:
            address = joining.resolved(address)
            admitted = joining.admitted(address)
            self._add(*admitted)
            return None if admitted[-1].result == PROBLEM else joining.join(address)
        except (ConnectionError, RuntimeError, ValueError, RayError) as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            remedy = "run it on a machine of the cluster, or as a job: ray job submit --address http://HEAD:8265 -- ..."
            self._add(Finding("ray", PROBLEM, f"cannot join {address}: {why}", remedy))
            return None

    def _nodes(self, nodes: list[probing.Node], handles: dict[str, Any], mine: Facts, store: Store | None) -> None:
        answers = probing.answers({n: handle.facts.remote() for n, handle in handles.items()}, self._left(FACTS_S))
        self._add(*checks.answering(answers))
        facts = {node: Facts(**answer) for node, answer in answers.items() if not isinstance(answer, Failure)}
        nodes = [node for node in nodes if node.name in facts]
        handles = {node.name: handles[node.name] for node in nodes}
        if not nodes:
            return
        versions = {node: fact.versions for node, fact in facts.items()} | {DRIVER: mine.versions}
        self._add(*checks.versions_equal(versions, DRIVER))
        self._add(*checks.gpus(facts, {node.name: node.resources.get("GPU", 0.0) for node in nodes}))
        everywhere = facts | {DRIVER: mine}
        self._add(*checks.hidden_gpus(everywhere, self.asked.workers, self.asked.gpus_per_worker))
        self._add(*checks.disks(facts), *checks.shared_memory(facts), *checks.compilers(facts))
        self._add(*checks.bf16(facts))
        self._add(*checks.clocks(probing.skews(handles, self._left(CLOCK_S))))
        self._network(nodes, handles, facts)
        self._shared(handles, store)

    def _network(self, nodes: list[probing.Node], handles: dict[str, Any], facts: dict[str, Facts]) -> None:
        """Check gloo among all; NCCL among those that would be asked, where each of these has a GPU."""
        hosts = len({node.address for node in nodes})
        asked = [node for node in nodes if node.resources.get("GPU") or not self.asked.gpus_per_worker]
        backends = {"gloo": nodes}
        if asked and all(facts[node.name].torch_gpus for node in asked):
            backends["nccl"] = asked
        for backend, members in backends.items():
            whole, pairs = probing.talk(backend, members, handles)
            taken = {node.name: handles[node.name] for node in members}
            speed = probing.speed(backend, taken)
            self._add(*network.group(backend, network.errors_of(whole), pairs, facts, hosts, speed))

    def _shared(self, handles: dict[str, Any], store: Store | None) -> None:
        data, kinds = {}, {}
        if self.asked.data:
            name_and_root = absolute(self.asked.data, self.asked.data_root)
            if self.asked.gpus_per_worker:
                kinds = {node: handle.shards.remote(*name_and_root) for node, handle in handles.items()}
            data = {node: handle.data.remote(*name_and_root) for node, handle in handles.items()}
        if store is not None:
            self._add(*self._same_storage(handles, store))
        if self.asked.data:
            self._add(*shared.data(self.asked.data, probing.answers(data, self._left(DATA_S))))
            self._add(*mounted.served(self.asked.data, probing.answers(kinds, self._left(FACTS_S))))

    def _same_storage(self, handles: dict[str, Any], store: Store) -> list[Finding]:
        """Leave a note, which each node must find; each leaves another, which the driver must find."""
        nonce = uuid.uuid4().hex
        folder = f".tmp/doctor-{nonce}"
        names = {node: f"node-{number}" for number, node in enumerate(handles)}
        store.put(f"{folder}/driver", nonce.encode())
        try:
            asked = {n: handle.storage.remote(store.uri, folder, nonce, names[n]) for n, handle in handles.items()}
            answers = probing.answers(asked, self._left(STORAGE_S))
            seen = {node for node, name in names.items() if store.exists(f"{folder}/{name}")}
        finally:
            for name in ("driver", *names.values()):
                store.delete(f"{folder}/{name}")
        return shared.storage(store.uri, answers, seen)


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return or raise what a call does; raise TimeoutError where it takes longer.

    The call is then left behind in a daemon thread.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]


def _found_and_remedy(error: StorageError) -> tuple[str, str]:
    """Split a storage's message, which ends in its remedy, at the last colon or semicolon."""
    text = str(error)
    end = max(text.rfind(mark) for mark in (": ", "; "))
    return (text[:end], text[end + 2 :]) if end >= 0 else (text, "choose another --storage")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
