"""A study's record in the store: what it has been declared as, what it reaches, and requests to a live run.

Each declaration is a file of its own, history/NUMBER.json, that exactly one run can make: of two that start together
both are remembered. Earlier versions kept all of them in one file, history.json, which is still read.
"""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from lth_ray import __version__
from lth_ray.config import (
    ConfigError,
    Folder,
    Study,
    TaskConfig,
    TicketOf,
    WeightsFile,
    declaration,
    differences,
    nearest,
    restore,
)
from lth_ray.config.declared import FUNCTION, KIND
from lth_ray.data import Identity
from lth_ray.lottery import Older, Plan, make_plan, older
from lth_ray.store import DamagedFile, Store, live_runs, study_path
from lth_ray.store.layout import STUDIES

HISTORY, ALL_IN_ONE, CANCELLED = "history", "history.json", "cancelled.json"
ENTRY = re.compile(rf"studies/([^/]+)/(?:{HISTORY}/\d{{6,}}\.json|{re.escape(ALL_IN_ONE)})")
LOOKED_AT = 5  # declarations of a study that what is to be trained anew is looked for in
GROWS = (
    "seeds",
    "rewind",
    "branches",
    "arms",
    "sweep",
    "keep",
    "smoke",
    "smoke_shows",
    "may_fail",
    "stop_below",
    "margin",
    "against",
)


def check_same_study(store: Store, study: Study) -> None:
    """Raise ConfigError, showing the difference, when `study.name` holds a different study in the store.

    A study may grow: seeds, rewind points, rounds, branches, arms and sweeps may differ.
    """
    entries = entries_of(store, study.name)
    if not entries:
        return
    recorded = declaration(restore(entries[-1]["declaration"]))  # with what fields that are newer than it stand at
    declared = _as_recorded(declaration(study), recorded)
    changed = differences(_fixed(recorded), _fixed(declared))
    shared = recorded["arms"]
    for arm, fields in declared["arms"].items():
        if arm in shared:
            changed |= differences(_arm(shared[arm]), _arm(fields), f"arms.{arm}")
    if changed:
        shown = "\n".join(_shown(path, old, new) for path, (old, new) in changed.items())
        raise ConfigError(
            f"the name {study.name!r} already holds a different study in {store.uri}:\n{shown}\n"
            "give this one a name of its own (--name, or Study's first field)"
        )


def _shown(path: str, old: Any, new: Any) -> str:
    field, _, last = path.rpartition(".")
    if last == "source" and old is not None and new is not None:
        return f"  {field}: the function, or what it refers to, has changed"
    return f"  {path}: {old!r} in the store, {new!r} now"


def _as_recorded(declared: Any, recorded: Any) -> Any:
    """Return `declared` with its functions as `recorded` has them where these are no others.

    That is where a version is stated in the source's place, and where an earlier lth_ray recorded a qualified
    name alone. And with its files of weights where their names are those of `recorded`: as of data sets, what
    is in them now is a matter of keys.
    """
    if not isinstance(declared, dict) or not isinstance(recorded, dict):
        return declared
    found = {name: _as_recorded(value, recorded.get(name)) for name, value in declared.items()}
    if declared.get(KIND) == recorded.get(KIND) == TicketOf.__name__:
        found["key"] = recorded["key"]  # which only a plan finds
    for name, value in declared.items():
        before = recorded.get(name)
        if _file_named(name, before) is not None and _file_named(name, before) == _file_named(name, value):
            found[name] = before
        if not isinstance(before, dict) or not (_is_function(value) and _is_function(before)):
            continue
        version = name.rpartition(".")[0] + ".version" if "." in name else "version"
        is_older = before["source"] is None and ":" not in before["name"]
        if is_older and before["name"] == value["name"].partition(":")[2]:
            found |= {name: before} | ({version: recorded[version]} if version in recorded else {})
        elif declared.get(version) is not None and before["name"] == value["name"]:
            found[name] = before
    return found


def _file_named(field: str, document: Any) -> str | None:
    """Return the name of a file of weights or a Hugging Face folder, as a study declares it or as it was recorded."""
    if isinstance(document, dict) and document.get(KIND) in (WeightsFile.__name__, Folder.__name__):
        document = document["path"]
    elif field.rpartition(".")[2] not in ("weights", "tokenizer"):
        return None
    return os.path.basename(os.path.normpath(document.removeprefix("hf:"))) if isinstance(document, str) else None


def _is_function(document: Any) -> bool:
    return isinstance(document, dict) and document.get(KIND) == FUNCTION


def _fixed(declared: dict[str, Any]) -> dict[str, Any]:
    fixed = {name: value for name, value in declared.items() if name not in GROWS}
    fixed["prune"] = {name: value for name, value in fixed["prune"].items() if name != "rounds"}
    return fixed


def _arm(fields: dict[str, Any]) -> dict[str, Any]:
    """Return what an arm sets, less what may grow."""
    kept = {path: value for path, value in fields.items() if path.split(".")[0] not in GROWS}
    kept.pop("prune.rounds", None)
    if isinstance(kept.get("prune"), dict):
        kept["prune"] = {name: value for name, value in kept["prune"].items() if name != "rounds"}
    return kept


def remember(store: Store, plan: Plan, source: str) -> None:
    """Add the plan to its study's history, unless it is the newest entry already.

    source: the docstring of the study's script, kept as the question it asks.
    """
    entries = entries_of(store, plan.study.name)
    entry: dict[str, Any] = {"declaration": declaration(plan.study), "keys": sorted(plan.keys), "question": source}
    entry["states"] = sorted(list(state) for piece in plan.pieces.values() for state in piece.makes)
    entry["identities"] = [
        [declaration(data), declaration(asdict(identity))] for data, identity in plan.identities.items()
    ]
    entry |= {"structures": plan.structures} if plan.structures else {}
    if entries and {name: entries[-1].get(name) for name in entry} == entry:
        return
    from lth_ray.record.mlflow.provenance import commit_of, script_folder  # a plan does without the record

    commit = commit_of(script_folder())
    entry |= {"at": datetime.now(UTC).isoformat(), "lth_ray": __version__, "commit": commit}
    number = max((int(name.removesuffix(".json")) for name in _numbered(store, plan.study.name)), default=0) + 1
    while not store.add_study(plan.study.name, f"{HISTORY}/{number:06d}.json", entry):
        number += 1  # another run has just been remembered under this one


def entries_of(store: Store, name: str) -> list[dict[str, Any]]:
    """Return what a study has been declared as, oldest first.

    A damaged entry is named in a warning and passed over.
    """
    found = []
    for entry in read_entries(store, name):
        if isinstance(entry, DamagedFile):
            warnings.warn(
                f"{entry.path} in {store.uri} is damaged ({entry.why}) and passed over: `lth-ray verify {name} --mend` "
                "sets it aside, and running the study as it was declared then writes it anew",
                stacklevel=2,
            )
        else:
            found.append(entry)
    return found


def read_entries(store: Store, name: str) -> Iterator[dict[str, Any] | DamagedFile]:
    """Yield every entry, oldest first; in place of a damaged one, what is wrong with it."""
    try:
        yield from (store.study(name, ALL_IN_ONE) or {"entries": []})["entries"]
    except DamagedFile as error:
        yield error
    for file in _numbered(store, name):
        try:
            entry = store.study(name, f"{HISTORY}/{file}")
        except DamagedFile as error:
            yield error
        else:
            if entry is not None:
                yield entry


def _numbered(store: Store, name: str) -> list[str]:
    """Return the files of its entries, in order."""
    paths = store.list(study_path(name, HISTORY))
    return sorted(
        (path.rpartition("/")[2] for path in paths if ENTRY.fullmatch(path)), key=lambda file: (len(file), file)
    )


def commits_of(store: Store, name: str) -> list[str]:
    """Return the git commits of the scripts that have declared a study, oldest first, as far as they are
    known.
    """
    return list(dict.fromkeys(entry["commit"] for entry in entries_of(store, name) if entry.get("commit")))


def studies(store: Store) -> list[str]:
    """Return the names of the studies that the store holds."""
    return sorted({match[1] for path in store.list(STUDIES) if (match := ENTRY.fullmatch(path))})


def recorded_plan(store: Store, name: str) -> Plan:
    """Return the plan of a study as it was declared last, from the store alone.

    Raise ConfigError for an unknown name.
    """
    entries = entries_of(store, name)
    if not entries:
        known = studies(store)
        raise ConfigError(f"no study {name!r} in {store.uri}: {nearest(name, known) if known else 'it holds none yet'}")
    study, identities, structures = _declared(entries[-1])
    return make_plan(study, None, store, identities, structures)


def older_tickets(store: Store, plan: Plan) -> list[Older]:
    """Return what is there of a study under an older meaning, and will not be taken."""
    entries, recorded = entries_of(store, plan.study.name), []
    for entry in reversed(entries[-LOOKED_AT:]):
        with suppress(ConfigError):  # of a class that this installation does not know
            recorded.append(_declared(entry))
    return older(plan, store, recorded, frozenset(key for entry in entries for key in entry["keys"]))


def _declared(entry: dict[str, Any]) -> tuple[Study, dict[TaskConfig, Identity], dict[str, str]]:
    """Return a study as it was declared, and what was known of its data sets and networks."""
    identities = {restore(data): _identity(fields) for data, fields in entry["identities"]}
    return restore(entry["declaration"]), identities, entry.get("structures", {})


def _identity(fields: dict[str, Any]) -> Identity:
    return Identity(**{**fields, "input_shape": tuple(fields["input_shape"])})


def cancelled(store: Store, name: str) -> set[str]:
    """Return the lineages that users have asked the live run to cancel."""
    try:
        record = store.study(name, CANCELLED)
    except DamagedFile:  # what it asked for is lost: `lth-ray cancel` asks again, and writes it anew
        return set()
    return set(record["lineages"]) if record else set()


def cancel(store: Store, name: str, lineage: str) -> None:
    """Ask the live run of a study to stop a lineage. Raise ConfigError where none is live."""
    if not live_runs(store, name):
        raise ConfigError(f"no run of study {name!r} is live in {store.uri}: there is nothing to cancel")
    store.put_study(name, CANCELLED, {"lineages": sorted({*cancelled(store, name), lineage})})


def clear_cancelled(store: Store, name: str) -> None:
    """Forget requests to earlier runs, before a run begins: running a study again takes up what was cancelled.

    Those to a run that is live stay.
    """
    if cancelled(store, name) and not live_runs(store, name):
        store.put_study(name, CANCELLED, {"lineages": []})
