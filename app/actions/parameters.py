"""The parameters that actions take: declared, then read from JSON or from a form.

Pure. A bad value is InvalidField with a sentence at its field; nothing was done.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal

from msgspec import Struct

from app.connection import check_absolute_path, check_host
from app.errors import InvalidField

Kind = Literal["flag", "choice", "size", "name", "text", "path", "host", "address", "network"]

# Names that npvirt makes, so that no tool stumbles over them.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+:@-]{0,62}")
_SIZE = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,6}))? ?([KMGTP]?)(?:iB|B)?", re.IGNORECASE)
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_SOURCE = re.compile(r"[A-Za-z0-9_./:@+-]{1,255}")
_LARGEST = 2**63 - 1
_TEXT_MAX = 1024


class Parameter(Struct, frozen=True):
    """One parameter. `choices` are (value, label); `default` is what is meant without it."""

    name: str
    kind: Kind
    label: str
    help: str = ""
    default: Any = None
    required: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    # Only shown where this other parameter has one of these values.
    only: tuple[str, tuple[str, ...]] | None = None


def read_parameters(
    declared: Collection[Parameter], given: Mapping[str, Any], known: Collection[str] = ()
) -> dict[str, Any]:
    """The values of all declared parameters; `known` names belong to the request itself.

    Raises InvalidField for one that is not declared, missing or bad.
    """
    names = {parameter.name for parameter in declared}
    for name in given:
        if name not in names and name not in known:
            raise InvalidField(name[:40], f"This action takes no parameter “{name[:40]}”.")
    return {parameter.name: _read(parameter, given.get(parameter.name)) for parameter in declared}


def check_under(path: str, roots: Collection[str], field: str) -> str:
    """`path`, normalised, if it lies under one of `roots`; raises InvalidField."""
    checked = check_absolute_path(path, field)
    if not any(PurePosixPath(checked).is_relative_to(root) for root in roots):
        allowed = " or ".join(sorted(roots)) or "nowhere"
        raise InvalidField(
            field, f"On this host npvirt may use paths under {allowed} only (--allow-root)."
        )
    return checked


def check_new_name(text: str, field: str = "name") -> str:
    """`text` if npvirt makes something of that name; raises InvalidField."""
    if not _NAME.fullmatch(text) or text in (".", ".."):
        raise InvalidField(
            field,
            "A name is 1 to 63 letters, digits and _ . + : @ -, and begins with a letter, a digit "
            "or _.",
        )
    return text


def parse_size(text: str, field: str) -> int:
    """`20 GiB`, `1.5T` or plain bytes as bytes; raises InvalidField."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise InvalidField(field, "Give a size such as 20 GiB, or a number of bytes.")
    whole, fraction, unit = found[1], found[2] or "", found[3].upper()
    scaled = int(whole + fraction) * 1024 ** _UNITS[unit]
    size: int = scaled // 10 ** len(fraction)
    if not 0 < size <= _LARGEST:
        raise InvalidField(field, "This is no size that a volume can have.")
    return size


def _read(parameter: Parameter, raw: Any) -> Any:
    field = parameter.name
    if parameter.kind == "flag":
        return _flag(parameter, raw)
    if raw is None or raw == "":
        if parameter.required:
            raise InvalidField(field, f"Give the {parameter.label.lower()}.")
        return parameter.default
    if parameter.kind == "size":
        return _size(raw, field)
    if not isinstance(raw, str):
        raise InvalidField(field, "This must be a text.")
    return _text(parameter, raw.strip())


def _flag(parameter: Parameter, raw: Any) -> Any:
    if raw is None or raw == "":
        if parameter.required:
            raise InvalidField(parameter.name, f"Say {parameter.name}: true or false.")
        return parameter.default
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False,
             "no": False, "off": False}  # fmt: skip
    value = raw if isinstance(raw, bool) else words.get(str(raw).lower())
    if value is None:
        raise InvalidField(parameter.name, f"{parameter.name} is true or false.")
    return value


def _size(raw: Any, field: str) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        raise InvalidField(field, "Give a size such as 20 GiB, or a number of bytes.")
    return parse_size(str(raw), field)


def _text(parameter: Parameter, text: str) -> str:
    field = parameter.name
    if any(ord(character) < 32 for character in text) or len(text) > _TEXT_MAX:
        raise InvalidField(field, "This must be one line of text, of 1,024 characters at most.")
    match parameter.kind:
        case "choice":
            if text not in {value for value, _ in parameter.choices}:
                words = ", ".join(value for value, _ in parameter.choices)
                raise InvalidField(field, f"This is one of: {words}.")
        case "name":
            check_new_name(text, field)
        case "path":
            check_absolute_path(text, field)
        case "host":
            return check_host(text, field)
        case "address":
            if not _SOURCE.fullmatch(text):
                raise InvalidField(field, "Letters, digits and . _ / : @ + - only.")
        case _:
            pass
    return text
