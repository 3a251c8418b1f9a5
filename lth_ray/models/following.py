"""Marks followed through a network's call: what each of PyTorch's operations does to them."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from lth_ray.config import ConfigError
from lth_ray.models.effects import NEW, effect_of
from lth_ray.models.marks import Book, Marked


class Following(TorchDispatchMode):
    """A hook into PyTorch that keeps the marks of every tensor of a network's calls.

    tensors: the network's own, by name.
    named: the marks of those that were met.
    """

    def __init__(self, model: nn.Module, book: Book, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.named: dict[str, Marked] = {}
        self._book = book
        self._names = {id(one): name for name, one in tensors.items()}
        self._known: dict[int, tuple[Tensor, Marked]] = {}  # with the tensor, so that no other gets its id
        self._layers: list[str] = []
        self._hooks = [hook for path, module in model.named_modules() for hook in self._hooks_of(path, module)]

    def close(self) -> None:
        """Leave the network as it was."""
        for hook in self._hooks:
            hook.remove()

    def fix(self, tensor: Tensor) -> None:
        """Keep what a tensor depends on in its place."""
        self._book.fix(*self.marked(tensor).marks)

    def marked(self, tensor: Tensor) -> Marked:
        """Return what is known of a tensor; an input has no marks."""
        name = self._names.get(id(tensor))
        if name is None:
            return self._known.get(id(tensor), (tensor, Marked(tuple(tensor.shape))))[1]
        if name not in self.named:
            self.named[name] = self._book.named(tensor.shape)
        return self.named[name]

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = tree_map(lambda one: self.marked(one) if isinstance(one, Tensor) else one, (args, kwargs or {}))
        results = function(*args, **(kwargs or {}))
        out = [one for one in tree_leaves(results) if isinstance(one, Tensor)]
        shapes = [tuple(one.shape) for one in out]
        if function.__name__.partition(".")[0] in NEW:
            self._keep(out, [Marked(shape, even=True) for shape in shapes])
        elif any(one.marks or one.even for one in tree_leaves(given) if isinstance(one, Marked)):
            names = [argument.name for argument in function._schema.arguments]
            arguments = dict(zip(names, given[0], strict=False)) | given[1]
            effect = effect_of(function)
            found = effect and effect(self._book, function, arguments, shapes)
            if found is None and not any(one.marks for one in tree_leaves(given) if isinstance(one, Marked)):
                found = [Marked(shape) for shape in shapes]  # a constant, no more even
            if found is None:
                raise ConfigError(
                    f"{self._layers[-1] if self._layers else 'the network'} calls {function.__name__}, of which it is "
                    "not known what it does to units"
                )
            self._keep(out, found)
        return results

    def _hooks_of(self, path: str, module: nn.Module) -> list[Any]:
        """Return hooks that say which layer is being called."""
        label = f"the {type(module).__name__} {path!r}" if path else type(module).__name__

        def enter(*_: Any) -> None:
            self._layers.append(label)

        def leave(*_: Any) -> None:
            self._layers.pop()

        return [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]

    def _keep(self, tensors: list[Tensor], found: list[Marked]) -> None:
        for tensor, marked in zip(tensors, found, strict=True):
            assert marked.shape == tuple(tensor.shape), (marked.shape, tensor.shape)
            if id(tensor) in self._names:
                continue
            before = self._known.get(id(tensor))
            if before is not None and before[1].even and not marked.even:
                self._written(tensor)
            self._known[id(tensor)] = (tensor, marked)

    def _written(self, tensor: Tensor) -> None:
        """Forget what was even, and other views of the same memory: it is so no more."""
        place = tensor.untyped_storage()._cdata
        for key, (other, known) in self._known.items():
            if other.untyped_storage()._cdata == place:
                self._known[key] = (other, Marked(known.shape, known.marks))
