"""An optimizer's state as named tensors and one JSON text, so that nothing needs pickling."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lth_ray.store.codec import Tensors


def flatten_optimizer(state_dict: Mapping[str, Any]) -> tuple[Tensors, str]:
    """Turn `torch.optim.Optimizer.state_dict()` into (tensors named by where they sit, JSON of all the rest).

    Raises TypeError, naming the place, for a value that is neither a tensor, a container nor a JSON scalar.
    """
    tensors: Tensors = {}
    return tensors, json.dumps(_outline(state_dict, "", tensors))


def unflatten_optimizer(tensors: Mapping[str, Tensor], text: str) -> dict[str, Any]:
    """Undo `flatten_optimizer`: return what `load_state_dict` takes."""
    state_dict = _restore(json.loads(text), tensors)
    assert isinstance(state_dict, dict)
    return state_dict


def _outline(node: Any, place: str, tensors: Tensors) -> Any:
    """Return the JSON form of a node; put tensors met on the way into `tensors`.

    JSON knows neither tuples nor integer keys, so containers other than lists are wrapped in a one-key object.
    """
    if isinstance(node, Tensor):
        tensors[place] = node
        return {"tensor": place}
    if isinstance(node, Mapping):
        return {"dict": [[key, _outline(value, _join(place, key), tensors)] for key, value in node.items()]}
    if isinstance(node, (list, tuple)):
        items = [_outline(value, _join(place, index), tensors) for index, value in enumerate(node)]
        return items if isinstance(node, list) else {"tuple": items}
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise TypeError(f"the optimizer's {place!r} is a {type(node).__name__}, which cannot be stored")


def _restore(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(node, list):
        return [_restore(item, tensors) for item in node]
    if not isinstance(node, dict):
        return node
    ((kind, value),) = node.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "tuple":
        return tuple(_restore(item, tensors) for item in value)
    return {key: _restore(item, tensors) for key, item in value}


def _join(place: str, key: object) -> str:
    return f"{place}.{key}" if place else str(key)
