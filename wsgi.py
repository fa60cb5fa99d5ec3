"""The serving process: make the application, start the collector. Nothing else starts anything.

gunicorn imports this in its worker, after the fork, so that libvirt's and the scheduler's threads
live where requests are served. What stops the start is one sentence, and ends gunicorn as a whole.
"""

import atexit
import gc
import logging
import sys

from flask import Flask

from app import create_app
from app.collect.collector import Collector
from app.collect.first_host import ensure_first_host
from app.connection import describe
from app.errors import NpvirtError, SettingsError, StoreError
from app.services import services_of
from app.settings import Settings, load
from app.store.backups import open_store
from app.store.demonstration import Mark, read_mark
from app.store.engine import Store
from app.store.users import has_users
from app.syslog import attach_syslog
from app.web.signin import setup_link

# gunicorn's own code for an application that cannot be loaded: its master stops as well.
_APPLICATION_LOAD_ERROR = 4


def build() -> Flask:
    """Open the store, start collecting, and return the application; raises NpvirtError."""
    settings = load()
    logging.basicConfig(
        level=settings.log.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for chatty in ("apscheduler", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    store = open_store(settings)
    store.keep_readers()
    attach_syslog(store, settings.syslog)
    mark = read_mark(settings.data)
    collector, application = (
        _real(settings, store) if mark is None else _demo(settings, store, mark)
    )
    # What is there now stays: the garbage collector need not walk it again and again.
    gc.collect()
    gc.freeze()
    try:
        settled = services_of(application).performer.settle()
    except StoreError as error:
        print(f"npvirt: what became of older actions is told later: {error}", file=sys.stderr)
        settled = 0
    if settled:
        print(f"The outcome of {settled} action(s) is not known; see the audit.", file=sys.stderr)
    collector.start()
    atexit.register(collector.stop)
    return application


def _real(settings: Settings, store: Store) -> tuple[Collector, Flask]:
    """Over real hosts."""
    added = ensure_first_host(store)
    if added is not None:
        what = describe(added.connection)
        print(f"No host was configured: added “{added.slug}” ({what}).", file=sys.stderr)
    collector = Collector(settings, store)
    application = create_app(settings, store, collector)
    if not has_users(store):
        link = setup_link(application, settings)
        print(f"Nobody can sign in yet. Make the first admin, once, at: {link}", flush=True)
    return collector, application


def _demo(settings: Settings, store: Store, mark: Mark) -> tuple[Collector, Flask]:
    """Over a made-up fleet; loaded only then."""
    from app.demo.collector import DemoCollector
    from app.demo.live import Stage
    from app.demo.performer import DemoPerformer
    from app.demo.place import plan_of
    from app.web.demonstration import demonstration_link

    if settings.database_url or not settings.bind.is_loopback:
        raise SettingsError("A demonstration has its own store, and is served on loopback alone.")
    stage = Stage(store, plan_of(mark))
    collector = DemoCollector(settings, store, stage)
    collector.catch_up()
    performer = DemoPerformer(settings, store, collector, stage)
    application = create_app(settings, store, collector, performer)
    print(f"The demonstration is at: {demonstration_link(application, settings)}", flush=True)
    return collector, application


try:
    app = build()
except NpvirtError as error:
    print(f"npvirt: {error}", file=sys.stderr)
    sys.exit(_APPLICATION_LOAD_ERROR)
