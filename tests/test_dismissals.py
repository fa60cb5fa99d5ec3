"""Dismissed findings: until the facts change or somebody undoes it; of a past moment what was
dismissed then.
"""

import pytest
from msgspec.structs import replace

from app.errors import InvalidField, NotFound
from app.store.dismissals import Dismissal, dismiss, dismissals, undo_dismissal
from app.store.engine import Store
from app.store.verify import verify
from tests.storing import BASE_MS, a_host, a_store

__all__ = ["a_store"]

DISMISSAL = Dismissal(
    "kvm-01", "idle-domain", "uuid-1", "d1", "Kept for the auditors.", "ada", BASE_MS
)
KEY = ("kvm-01", "idle-domain", "uuid-1", "d1")


def test_what_was_dismissed_is_so_until_that_is_undone(a_store: Store) -> None:
    number = a_host(a_store, "kvm-01").id
    dismiss(a_store, number, DISMISSAL)
    assert dismissals(a_store, None) == {KEY: DISMISSAL}
    undo_dismissal(a_store, number, "idle-domain", "uuid-1", BASE_MS + 5000)
    assert dismissals(a_store, None) == {}
    with pytest.raises(NotFound, match="is not dismissed"):
        undo_dismissal(a_store, number, "idle-domain", "uuid-1", BASE_MS + 6000)
    assert dismissals(a_store, BASE_MS - 1) == {}
    assert dismissals(a_store, BASE_MS + 4999) == {KEY: DISMISSAL}
    assert dismissals(a_store, BASE_MS + 5000) == {}
    assert verify(a_store).wrong == []


def test_what_is_said_anew_is_in_place_of_what_was_said(a_store: Store) -> None:
    number = a_host(a_store, "kvm-01").id
    dismiss(a_store, number, DISMISSAL)
    later = replace(DISMISSAL, facts_digest="d2", note="  Larger now. ", at_ms=BASE_MS + 1000)
    dismiss(a_store, number, later)
    assert list(dismissals(a_store, None).values()) == [replace(later, note="Larger now.")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "full-moon"), ("key", ""), ("key", "x" * 5000), ("facts_digest", ""),
        ("note", " "), ("note", "x" * 501),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    a_store: Store, field: str, value: str
) -> None:
    number = a_host(a_store, "kvm-01").id
    with pytest.raises(InvalidField) as refused:
        dismiss(a_store, number, replace(DISMISSAL, **{field: value}))
    assert refused.value.field == field
    assert dismissals(a_store, None) == {}
