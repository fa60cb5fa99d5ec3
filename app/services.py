"""What a request handler may use, made once per process and kept by the Flask application."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app

from app.actions.perform import Performer
from app.collect.collector import Collector
from app.settings import Settings
from app.store.engine import Store

_KEY = "npvirt"
_STOPS = "npvirt-stops"


@dataclass(frozen=True)
class Services:
    """The settings, the store, the collector and the performer of this process."""

    settings: Settings
    store: Store
    collector: Collector
    performer: Performer
    # Whether all of it is made up, which every page must say.
    demo: bool = False


def attach(app: Flask, services: Services) -> None:
    """Give `app` its services."""
    app.extensions[_KEY] = services


def services_of(app: Flask) -> Services:
    """The services of `app`."""
    return cast(Services, app.extensions[_KEY])


def services() -> Services:
    """The services of the current application."""
    return services_of(current_app)


def on_stop(app: Flask, do: Callable[[], None]) -> None:
    """Have `do` called when the process that serves `app` is about to end."""
    app.extensions.setdefault(_STOPS, []).append(do)


def stop(app: Flask) -> None:
    """End what `app` started in its process, the collector last; waits some seconds at most."""
    for do in app.extensions.get(_STOPS, ()):
        do()
    services_of(app).collector.stop()
