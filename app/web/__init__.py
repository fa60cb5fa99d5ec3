"""The web: pages, their parts, the JSON interface. Draws from the store alone.

No handler of a GET waits on libvirt, and nothing here imports libvirt or app/virt. `register`
gives a Flask application its routes, checks, headers and templates' vocabulary; a route that does
not say who may use it stops the start.
"""

import hashlib
from pathlib import Path

from flask import Flask
from jinja2 import StrictUndefined

from app import __version__
from app.services import Services
from app.web import (
    accounts,
    acting,
    actions,
    api,
    audit_page,
    capacity_page,
    capacity_reports_page,
    change_words,
    changes_page,
    compare_page,
    demonstration,
    devices,
    dismissing,
    domains,
    embed,
    embed_tokens,
    events,
    guard,
    health_page,
    help_page,
    host_forms,
    hosts,
    jobs,
    metrics_page,
    networks,
    notification_rules_page,
    notification_targets_page,
    notifications_page,
    oidc,
    openapi_page,
    overview,
    series_page,
    share,
    signin,
    storage,
    store_page,
    token_page,
    travel,
)
from app.web.addresses import StoredNumber
from app.web.auditing import audit_refusal
from app.web.errors import register_errors
from app.web.events import attach_streams
from app.web.identity import attach_identities
from app.web.operations import attach_operations
from app.web.page import attach_pages
from app.web.permission import check_declared
from app.web.signin import attach_signin
from app.web.wording import attach_words
from app.web.words import DOMAIN_LOOKS

# name, label, icon, address
NAVIGATION = (
    ("overview", "Overview", "home", "/"),
    ("hosts", "Hosts", "host", "/hosts"),
    ("domains", "VMs", "vm", "/domains"),
    ("storage", "Storage", "disk", "/pools"),
    ("networks", "Networks", "net", "/networks"),
    ("capacity", "Capacity", "capac", "/capacity"),
    ("history", "History", "past", "/changes"),
)


def register(app: Flask) -> None:
    """Make `app`, which has its services attached, answer."""
    services: Services = app.extensions["npvirt"]
    app.url_map.converters["int"] = StoredNumber
    guard.protect(app, services.settings, audit_refusal)
    attach_operations(app)
    attach_identities(app)
    attach_signin(app)
    oidc.attach_oidc(app, services.settings)
    attach_pages(app)
    attach_streams(app, services)
    embed.attach_embeds(app)
    _speak(app, services)
    register_errors(app)
    modules = (
        overview, hosts, host_forms, domains, devices, storage, networks, signin, oidc, accounts,
        token_page, actions, acting, jobs, audit_page, changes_page, help_page, travel,
        compare_page, series_page, capacity_page, capacity_reports_page, dismissing, store_page,
        health_page, metrics_page, notifications_page, notification_rules_page,
        notification_targets_page, events, embed, embed_tokens, share, api, openapi_page,
    )  # fmt: skip
    if services.demo:
        app.register_blueprint(demonstration.blueprint)
        demonstration.attach_demonstration(app)
    # The words of changes are the web's; what is told of them elsewhere is told in the same.
    services.collector.notifier.phrase = lambda change: change_words.phrase(change).text
    for module in modules:
        app.register_blueprint(module.blueprint)
    check_declared(app)


def _speak(app: Flask, services: Services) -> None:
    """What every template may say."""
    assets = _assets(Path(app.static_folder or ""))
    seconds = services.settings.scan_seconds
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    attach_words(app.jinja_env)
    app.jinja_env.globals.update(
        asset=assets.__getitem__,
        icons=assets["icons.svg"],
        embed_icons=embed.icons(Path(app.static_folder or "")),
        navigation=NAVIGATION,
        looks=DOMAIN_LOOKS,
        version=__version__,
        demo=services.demo,
        scan_every=f"{seconds:g} s",
        zone=services.settings.timezone or "the server’s zone",
    )


def _assets(folder: Path) -> dict[str, str]:
    """The address of every static file, carrying its digest so that browsers may keep it."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:10]
            found[name] = f"/static/{name}?v={digest}"
    return found
