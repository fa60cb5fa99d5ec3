"""Guest agents are asked in turn; one that may not be asked keeps none of the others waiting."""

from pathlib import Path
from typing import Any

import pytest

from app.errors import VirtError
from app.virt.read.agent import AgentWatch, Target
from tests.read_support import RUNNING, Clock, Faults, domain_xml, opened, uuid_of, write_node

_CHANNEL = (
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
)  # fmt: skip


def _never() -> Any:
    raise AssertionError("nothing is asked beside the test")


def test_of_a_domain_that_cannot_be_read_nothing_is_said(tmp_path: Path) -> None:
    node = write_node(tmp_path, domain_xml("a", state=RUNNING, devices=_CHANNEL))
    clock = Clock()
    watch = AgentWatch(_never, clock)
    with opened(node) as session:
        faults = Faults(session)
        watch._wanted = (Target(uuid_of("a"), session.connection.lookupByName("a").ID()),)
        faults.fail("XMLDesc", VirtError("failed", "libvirt could not do it."))
        watch._ask_due(faults.session)
        assert faults.injected == 1
        assert watch.answers() == {}
        faults.heal()
        clock.now_s += 60
        watch._ask_due(faults.session)
        assert [answer.agent for answer in watch.answers().values()] == ["disconnected"]


def test_one_that_may_not_be_asked_leaves_the_others_their_turns(tmp_path: Path) -> None:
    """As where the host permits npvirt some of its domains."""
    names = ("a", "b", "c")
    node = write_node(
        tmp_path, *(domain_xml(name, state=RUNNING, devices=_CHANNEL) for name in names)
    )
    clock = Clock()
    watch = AgentWatch(_never, clock)
    with opened(node) as session:
        faults = Faults(session)
        ids = {name: session.connection.lookupByName(name).ID() for name in names}
        watch._wanted = tuple(Target(uuid_of(name), ids[name]) for name in names)
        denied = VirtError("denied", "The host does not permit it.")
        faults.fail("XMLDesc", denied, lambda domain: domain.name() == "a")
        # It may be that none may be asked; then not all are tried.
        with pytest.raises(VirtError):
            watch._ask_due(faults.session)
        assert faults.injected == 1
        clock.now_s += 30
        watch._ask_due(faults.session)
        assert faults.injected == 2
        assert watch.answers().keys() == {uuid_of("b"), uuid_of("c")}
        faults.heal()
        clock.now_s += 60
        watch._ask_due(faults.session)
        assert watch.answers().keys() == {uuid_of(name) for name in names}
