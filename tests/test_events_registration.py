"""A registration that fails while an event is delivered leaves no memory given back twice."""

import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from app.connection import Connection, Endpoint
from app.errors import VirtError
from app.inventory import Told
from app.virt import events, registration
from app.virt.session import Session
from tests.faults.daemon import SessionDaemon, unavailable
from tests.waiting import until

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")
_DELIVERED_S = 60.0


class _Delivery:
    """Has a pool's event be delivered, and the way be lost, just when networks' are asked for."""

    def __init__(self, session: Session, refresh: Callable[[], object]) -> None:
        self._session = session
        self._refresh = refresh
        self._call = Session.call
        self.began = threading.Event()
        self.may_end = threading.Event()

    def tell(self, _: Told) -> None:
        """Be held up, as where many threads wait to run Python."""
        self.began.set()
        self.may_end.wait(_DELIVERED_S)

    def call(self, session: Session, function: Any, *args: Any) -> Any:
        """As Session.call; the host is gone when networks' events are asked for."""
        if session is self._session and "network" in args:
            self._refresh()
            assert self.began.wait(_DELIVERED_S)
            # As the host would, so that libvirt itself finds out.
            relay = session._relay
            assert relay is not None
            relay.close()
        return self._call(session, function, *args)


def test_what_libvirt_gives_back_once_too_often_is_held_and_let_go_of_later() -> None:
    events.start_loop()
    with SessionDaemon() as daemon:
        way = Endpoint(
            Connection(driver="test", transport="tcp", host="127.0.0.1", port=daemon.port)
        )
        session = Session.open(way, read_only=True)
        other = Session.open(way, read_only=False)
        delivery = _Delivery(session, other.connection.listAllStoragePools()[0].refresh)
        failed = registration._Failed()
        with mock.patch.object(registration, "_failed", failed):
            with (
                mock.patch.object(Session, "call", lambda *args: delivery.call(*args)),
                pytest.raises(VirtError),
            ):
                events.subscribe(session, delivery.tell, lambda reason: None)
            [held] = failed._waiting
            assert held.references() == registration._OURS
            delivery.may_end.set()
            # Where libvirt is mended one day, this never comes true, and the module may go.
            until(lambda: held.references() < registration._OURS)
            failed.tidy()
            assert failed._waiting == [held]
            held.failed_s -= registration._DELIVERED_S
            failed.tidy()
        assert (failed._waiting, failed._spoilt, held.data) == ([], [held], {})
        session.close()
        other.close()


def test_the_data_of_a_registration_that_just_failed_is_let_go_of() -> None:
    failed = registration._Failed()
    held = registration._Held({"cb": None})
    failed.keep(held)
    held.failed_s -= registration._DELIVERED_S
    failed.tidy()
    assert (failed._waiting, failed._spoilt) == ([], [])
