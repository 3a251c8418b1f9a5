"""The states that trainings leave in a storage, by themselves or in bundles, and whether all of them are there."""

import math

import torch

from lth_ray.store import Store, content, mask_path, segment_path
from lth_ray.store.bundling import remove_bundled, write_bundles
from lth_ray.store.known_bundles import KNOWN
from lth_ray.store.whole import damage

TRAINED = 3


def key(number: int) -> str:
    return f"segment-{number:032x}-100"


def trajectory(number: int) -> str:
    return f"{number:032x}"


def mask(number: int) -> dict[str, torch.Tensor]:
    return {"w": torch.arange(40) % (number + 2) == 0}


def state(number: int) -> dict[str, torch.Tensor]:
    return {"w": torch.full((40,), float(number))}


def finish(store: Store, number: int) -> bool:
    """Keeps what a training leaves, and a state beside it that no record names."""
    store.save_state(trajectory(number), 100, state(number), {"state": {}, "param_groups": []})
    store.save_state(trajectory(number), 40, state(number))
    digest = store.save_mask(mask(number))
    record = {
        "number": number, "trajectory": trajectory(number), "states": [100], "mask": digest,
        "files": [mask_path(digest)], "loss": math.nan,
    }  # fmt: skip
    return store.publish_segment(key(number), record)


def whole(store: Store, numbers: range = range(TRAINED)) -> bool:
    """Return whether everything of those trainings is there, by every way in which it is asked for."""
    for number in numbers:
        digest = content(mask(number))
        record, loaded = store.segment(key(number)), store.load_mask(digest)["w"]
        assert record is not None
        assert (record["number"], record["mask"]) == (number, digest)
        assert torch.equal(loaded, mask(number)["w"])
        kept = store.load_state(trajectory(number), 100, with_optimizer=True)
        assert torch.equal(kept.model["w"], state(number)["w"])
        assert store.exists(segment_path(key(number)))
        assert not store.publish_segment(key(number), {"number": "another"})
        for path in (segment_path(key(number)), mask_path(digest)):
            assert damage(store, path) is None
    assert store.segments() >= {key(number) for number in numbers}
    return True


def alone(store: Store) -> set[str]:
    """The files that lie by themselves."""
    return {entry.path for entry in store.bundled.files.entries("")}


def bundle(store: Store) -> int:
    """Bundles all there is, and removes at once what lies by itself as well; how many files."""
    write_bundles(store, at_least=1)
    return remove_bundled(store, settled_s=0.0)


def forget(store: Store) -> Store:
    """The store as another process sees it, which knows of no bundle yet."""
    KNOWN._made.pop(store.uri, None)
    return store
