"""npvirt, the libvirt panel that remembers.

`create_app` wires the web application; it starts no thread and opens no connection. Rooms:
web and cli (edges), actions (what people do to hosts), collect (schedule), notifier (who is told
what), virt (libvirt), store (database), and the values and words they share (inventory, access,
connection, notification, errors, settings, clock).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.actions.perform import Performer
    from app.collect.collector import Collector
    from app.settings import Settings
    from app.store.engine import Store

__version__ = "0.1.0"


def create_app(
    settings: "Settings",
    store: "Store",
    collector: "Collector",
    performer: "Performer | None" = None,
) -> "Flask":
    """The Flask application over an opened store and a collector, started or not. Without a
    `performer` it acts on real hosts.
    """
    # Imported here so that the command line and gunicorn's master do not load the web.
    from flask import Flask

    from app import web
    from app.actions.perform import Performer
    from app.services import Services, attach
    from app.store.demonstration import is_demonstration

    app = Flask("app", static_folder="static", template_folder="templates")
    performer = performer or Performer(settings, store, collector)
    demo = is_demonstration(settings.data)
    attach(app, Services(settings, store, collector, performer, demo))
    web.register(app)
    return app
