"""What most tests need anew though it is always the same, made once per process: an empty store,
the code of the templates, and the code that builds addresses.

Nothing is left out of what is tested: a store that npvirt makes by itself is test_store_file's.
"""

from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

from app import create_app
from app.actions.perform import Performer
from app.collect.collector import Collector
from app.settings import Settings
from app.store.engine import Store
from app.store.file import create


def open_store(path: Path) -> Store:
    """The store in the file `path`, an empty one where there is no file."""
    if not path.exists():
        path.touch(0o600)
        path.write_bytes(_empty_store())
    return Store.open(path)


@cache
def _empty_store() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "npvirt.sqlite"
        create(path)
        return path.read_bytes()


def make_app(
    settings: Settings, store: Store, collector: Collector, performer: Performer | None = None
) -> Flask:
    """The application, as create_app makes it."""
    with patch.object(Rule, "_compile_builder", _builder):
        app = create_app(settings, store, collector, performer)
    app.jinja_env.bytecode_cache = _TEMPLATES
    return app


class _Templates(BytecodeCache):
    """The code of templates; of one text by its name and its checksum."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give the code, where the template was compiled before."""
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep the code of a template."""
        self._codes[bucket.key, bucket.checksum] = bucket.code


_TEMPLATES = _Templates()

# Werkzeug writes and compiles two functions for every address of every application: more than half
# of the time that an application takes to make. They are of the rule's text alone.
_compile_builder = Rule._compile_builder
_builders: dict[Hashable, Callable[..., tuple[str, str]]] = {}


def _builder(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    key = (rule.rule, tuple(rule._trace), repr(rule.defaults), append_unknown)
    if key not in _builders:
        _builders[key] = _compile_builder(rule, append_unknown)
    return _builders[key]
