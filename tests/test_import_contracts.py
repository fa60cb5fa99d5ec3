"""The contracts of imports in pyproject.toml speak of every module there is."""

import pkgutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

import app

_FILE = Path(__file__).parents[1] / "pyproject.toml"
_CONTRACTS = tomllib.loads(_FILE.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
_ROOMS = {f"app.{module.name}" for module in pkgutil.iter_modules(app.__path__)}
# Who alone may import what the contract forbids to all others.
_OWNER = {"libvirt": "app.virt", "authlib": "app.web", "sqlalchemy": "app.store"}


@pytest.mark.parametrize("owned", _OWNER)
def test_no_module_but_the_owner_is_left_out_of_who_may_not_import(owned: str) -> None:
    (contract,) = (one for one in _CONTRACTS if owned in one.get("forbidden_modules", ()))
    assert _ROOMS - set(contract["source_modules"]) == {_OWNER[owned]}


def _layers(contract: dict[str, Any]) -> set[str]:
    return {room.strip() for layer in contract["layers"] for room in layer.split("|")}


def test_every_module_has_its_layer() -> None:
    (contract,) = (one for one in _CONTRACTS if one["type"] == "layers")
    assert _layers(contract) == _ROOMS
