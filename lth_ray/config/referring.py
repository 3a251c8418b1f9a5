"""A function as plain data: its syntax tree, its defaults, and the values of what it refers to.

Of a user's own functions and classes the source counts, and so it goes on with what those refer to; what belongs to a
library counts by its name.
"""

import ast
import dis
import functools
import hashlib
import importlib.util
import json
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lth_ray.config.syntax import NoSource, codes_of, module_tree, node_of, plain

BOOKKEEPING = {
    "__module__", "__qualname__", "__name__", "__doc__", "__dict__", "__weakref__", "__firstlineno__",
    "__static_attributes__", "__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__",
}  # fmt: skip
GENERATED = {
    "__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__lt__", "__le__", "__gt__", "__ge__",
    "__new__", "__replace__", "_make", "_replace", "_asdict", "__getnewargs__", "__getstate__", "__setstate__",
}  # fmt: skip
STANDARD = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
INSTALLED = {"site-packages", "dist-packages"}
DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType)


class Unclear(ValueError):
    """Something that a function refers to and no key can tell; the words say what."""


def source_digest(function: Callable[..., Any]) -> str:
    """Return 32 hex digits of what `function` comes to. Raise Unclear."""
    form = _Reading().form(function)
    return hashlib.sha256(json.dumps(form, separators=(",", ":")).encode()).hexdigest()[:32]


def is_library(module: str) -> bool:
    """Return whether a module is of an installed package, Python or lth_ray: its version is in every record's
    environment.
    """
    top = module.partition(".")[0]
    if top == "__main__":
        return False
    if top in sys.stdlib_module_names or top in ("lth_ray", "builtins"):
        return True
    path = getattr(sys.modules.get(module), "__file__", None)
    if path is None:
        return module in sys.modules and not hasattr(sys.modules[module], "__path__")
    return _is_installed(path)


def _is_installed(path: str) -> bool:
    return path.startswith(STANDARD) or not INSTALLED.isdisjoint(Path(path).parts)


class _Reading:
    """One walk: functions and classes are told once, and what contains itself ends there."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.within: list[int] = []
        self.held: list[Any] = []  # so that no address is used twice

    def form(self, value: Any) -> Any:
        """Return `value` as plain JSON data."""
        if value is None or isinstance(value, (bool, str)) or type(value) is int:
            return value
        if isinstance(value, (float, complex, bytes, range)) or value is Ellipsis:
            return [type(value).__name__, repr(value)]
        name = _named(value)
        if name is not None:
            return ["named", name]
        if isinstance(value, (type, types.FunctionType)):
            if id(value) in self.seen:
                return ["told", self.seen[id(value)]]
            self.seen[id(value)] = len(self.seen)
            return self._class(value) if isinstance(value, type) else self._function(value)
        if id(value) in self.within:
            return ["within", self.within.index(id(value))]
        self.within.append(id(value))
        self.held.append(value)
        found = self._composed(value)
        self.within.pop()
        return found

    def _composed(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            return [type(value).__name__, [self.form(item) for item in value]]
        if isinstance(value, (dict, types.MappingProxyType)) and type(value) in (dict, types.MappingProxyType):
            return ["dict", [[self.form(key), self.form(item)] for key, item in value.items()]]
        if isinstance(value, (set, frozenset)):
            return ["set", sorted((self.form(item) for item in value), key=json.dumps)]
        if isinstance(value, types.ModuleType):
            return self._from_source(f"the module {value.__name__}", lambda: module_tree(value.__file__ or "?"))
        if isinstance(value, (types.MethodType, types.BuiltinMethodType)):
            return ["method", value.__name__, self.form(value.__self__), self.form(getattr(value, "__func__", None))]
        if isinstance(value, (staticmethod, classmethod)):
            return [type(value).__name__, self.form(value.__func__)]
        if isinstance(value, property):
            return ["property", [self.form(one) for one in (value.fget, value.fset, value.fdel)]]
        if isinstance(value, functools.cached_property):
            return ["property", self.form(value.func)]
        if isinstance(getattr(value, "__wrapped__", None), types.FunctionType):  # functools.lru_cache
            return ["wrapped", self.form(value.__wrapped__)]
        tensor = getattr(sys.modules.get("torch"), "Tensor", None)
        if tensor is not None and isinstance(value, tensor):
            array = value.detach().cpu().contiguous()
            data = array.flatten().view(sys.modules["torch"].uint8).numpy().tobytes() if array.numel() else b""
            return ["tensor", str(array.dtype), list(array.shape), hashlib.sha256(data).hexdigest()]
        return self._object(value)

    def _object(self, value: Any) -> Any:
        """Return the form of an object by what a pickle would hold of it."""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:
            raise Unclear(f"a {type(value).__qualname__}, which no key can tell from others") from None
        if isinstance(reduced, str):
            return ["named", f"{type(value).__module__}.{reduced}"]
        rest = [list(part) if isinstance(part, Iterator) else part for part in reduced]
        return ["object", [self.form(part) for part in rest]]

    def _class(self, cls: type) -> Any:
        own = {name: item for name, item in vars(cls).items() if name not in BOOKKEEPING}
        if "__dataclass_fields__" in own or hasattr(cls, "_fields"):
            own = {name: item for name, item in own.items() if name not in GENERATED or _is_written(item)}
        members = []
        for name, item in own.items():
            if not isinstance(item, DESCRIPTORS):
                members.append([name, self._member(f"{cls.__qualname__}.{name}", item)])
        kind = type(cls)
        return ["class", cls.__name__, [self.form(base) for base in cls.__bases__], self.form(kind), members]

    def _function(self, function: types.FunctionType) -> Any:
        name = function.__qualname__
        syntax = self._from_source(name, lambda: node_of(function.__code__))
        defaults = self._member(f"{name}'s defaults", [function.__defaults__, function.__kwdefaults__])
        refers = [[said, self._member(f"{name} refers to {said}", value)] for said, value in referred(function)]
        extra = {key: item for key, item in vars(function).items() if key != "__wrapped__"}
        return ["function", syntax, defaults, refers, *([self._member(name, extra)] if extra else [])]

    def _member(self, said: str, value: Any) -> Any:
        try:
            return self.form(value)
        except Unclear as error:
            raise Unclear(f"{said}: {error}" if "refers to" not in str(error) else str(error)) from None

    @staticmethod
    def _from_source(said: str, found: Callable[[], ast.AST]) -> Any:
        try:
            return plain(found())
        except NoSource as error:
            raise Unclear(f"{said}: {error}") from None


def _named(value: Any) -> str | None:
    """Return the name by which a thing of a library counts; None for a user's, and for what has no name of
    its own.
    """
    if isinstance(value, types.ModuleType):
        return value.__name__ if is_library(value.__name__) else None
    if isinstance(value, types.BuiltinFunctionType) and isinstance(value.__self__, (types.ModuleType, type(None))):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, (type, types.FunctionType)) and "<" not in value.__qualname__ and is_library(value.__module__):
        return f"{value.__module__}.{value.__qualname__}"
    return None


def _is_written(item: Any) -> bool:
    """Return whether a special method of a dataclass was written and not generated."""
    code = getattr(item, "__code__", None)
    return code is not None and code.co_filename != "<string>" and not _is_installed(code.co_filename)


def referred(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield (its name there, its value) for all that a function takes from outside.

    These are closed-over variables, globals, and attributes of the user's own modules.
    """
    code, known = function.__code__, function.__globals__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            yield name, None
    inner = list(codes_of(code))
    loads = {
        one.argval for part in inner for one in dis.get_instructions(part) if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    names = sorted(name for name in loads if name in known and not name.startswith("__"))
    for name in names:
        value = known[name]
        if isinstance(value, types.ModuleType) and not is_library(value.__name__):
            yield from _attributes(name, value, node_of(code))
        else:
            yield name, value
    if any(one.opname == "IMPORT_NAME" for part in inner for one in dis.get_instructions(part)):
        yield from _imported(node_of(code), known)


def _attributes(name: str, module: types.ModuleType, tree: ast.AST) -> Iterator[tuple[str, Any]]:
    """Yield what `tree` takes from a user's own module; all of it where it is not said."""
    taken: dict[str, Any] = {}
    for node in ast.walk(tree):
        path, inner = list[str](), node
        while isinstance(inner, ast.Attribute):
            path.insert(0, inner.attr)
            inner = inner.value
        if path and isinstance(inner, ast.Name) and inner.id == name and hasattr(module, path[0]):
            value: Any = module
            for depth, attribute in enumerate(path, 1):
                value = getattr(value, attribute, None)
                if not isinstance(value, types.ModuleType):
                    taken[".".join([name, *path[:depth]])] = value
                    break
    yield from sorted(taken.items()) if taken else [(name, module)]


def _imported(tree: ast.AST, known: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the user's own modules that a function imports as it runs."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [
                importlib.util.resolve_name("." * node.level + (node.module or ""), known.get("__package__") or "")
            ]
        for name in names:
            if not is_library(name):
                yield name, importlib.import_module(name)
