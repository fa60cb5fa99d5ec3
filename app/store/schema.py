"""The tables. Times are integer milliseconds since 1970 UTC; unknown is NULL.

The sample tables' columns are those of the sample structs in app/inventory, in their order, keyed
(ts, entity): time first is what keeps a tick cheap (neighbouring rows are written together).
"""

from collections.abc import Mapping

import sqlalchemy as sa
from msgspec.structs import fields

from app.inventory import KINDS, Kind
from app.metrics import METRICS

# What the newest migration makes; a newer one in a file means a newer npvirt made it.
REVISION = "0012"

# "npvt": marks the file as npvirt's own (PRAGMA application_id).
APPLICATION_ID = 0x6E707674

# STRICT tables know INTEGER alone; other databases need to be told that it is a wide one.
Wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Flag = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData()

host = sa.Table(
    "host",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("slug", sa.Text, nullable=False),
    sa.Column("driver", sa.Text, nullable=False),
    sa.Column("transport", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("host", sa.Text),
    sa.Column("port", sa.Integer),
    sa.Column("user", sa.Text),
    sa.Column("socket", sa.Text),
    sa.Column("key", sa.Text),
    sa.Column("known_hosts", sa.Text),
    sa.Column("pki", sa.Text),
    sa.Column("sasl", sa.Text),
    sa.Column("read_only", Flag, nullable=False),
    sa.Column("allowed_roots", sa.Text, nullable=False),
    sa.Column("enabled", Flag, nullable=False),
    sa.Column("host_uuid", sa.Text),
    sa.Column("created_at_ms", Wide, nullable=False),
    sa.Column("removed_at_ms", Wide),
    sqlite_strict=True,
)
sa.Index(
    "host_slug",
    host.c.slug,
    unique=True,
    sqlite_where=host.c.removed_at_ms.is_(None),
    postgresql_where=host.c.removed_at_ms.is_(None),
)

credential = sa.Table(
    "credential",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("username", sa.Text),
    sa.Column("created_at_ms", Wide, nullable=False),
    sqlite_strict=True,
)

scan = sa.Table(
    "scan",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("host_id", Wide, sa.ForeignKey("host.id"), nullable=False),
    sa.Column("at_ms", Wide, nullable=False),
    sa.Column("took_ms", Wide, nullable=False),
    sa.Column("ok", Flag, nullable=False),
    sa.Column("problem", sa.Text),
    sa.Column("sentence", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("missing", sa.Text),
    sa.Column("rpc_count", Wide),
    sa.Column("clock_stepped", Flag, nullable=False),
    sa.Column("interval_ms", Wide, nullable=False),
    sa.Column("next_at_ms", Wide),
    # Bits by position in KINDS: which kinds were listed whole, which were measured whole.
    sa.Column("listed", sa.Integer, nullable=False),
    sa.Column("sampled", sa.Integer, nullable=False),
    # Revisions that this scan opened or closed.
    sa.Column("changes", Wide, nullable=False),
    # Of all its samples (app/store/sums); NULL: not known.
    sa.Column("samples_crc", Wide),
    sqlite_strict=True,
)
sa.Index("scan_host_at", scan.c.host_id, scan.c.at_ms, unique=True)
sa.Index("scan_host_ok_at", scan.c.host_id, scan.c.ok, scan.c.at_ms)
sa.Index("scan_at", scan.c.at_ms)

# Looks at some objects between the scans, because libvirt told of them: those that found something.
# A time of a host is that of one look alone, of either sort.
partial_look = sa.Table(
    "partial_look",
    metadata,
    sa.Column("host_id", Wide, sa.ForeignKey("host.id"), primary_key=True),
    sa.Column("at_ms", Wide, primary_key=True),
    # From the event until all was read.
    sa.Column("took_ms", Wide, nullable=False),
    sa.Column("changes", Wide, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# Blobs of app/store/archive: the scans of a day of long ago, but for a few; the id says of which
# host and day. From its first scan to its last none were further apart than widest_ms.
scan_day = sa.Table(
    "scan_day",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("from_ms", Wide, nullable=False),
    sa.Column("until_ms", Wide, nullable=False),
    sa.Column("widest_ms", Wide, nullable=False),
    sa.Column("good", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sqlite_strict=True,
)
sa.Index("scan_day_until", scan_day.c.until_ms)

entity = sa.Table(
    "entity",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("host_id", Wide, sa.ForeignKey("host.id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("first_seen_ms", Wide, nullable=False),
    # Set when it is gone: the last time it was seen; NULL while it is there.
    sa.Column("last_seen_ms", Wide),
    sqlite_strict=True,
)
sa.Index("entity_key", entity.c.host_id, entity.c.kind, entity.c.key, unique=True)

revision = sa.Table(
    "revision",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("entity_id", Wide, sa.ForeignKey("entity.id"), nullable=False),
    # Repeated from the entity, so that a look at a whole kind needs no join.
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("valid_from_ms", Wide, nullable=False),
    sa.Column("valid_to_ms", Wide),
    sa.Column("body", sa.Text, nullable=False),
    sqlite_strict=True,
)
sa.Index("revision_entity_from", revision.c.entity_id, revision.c.valid_from_ms)
sa.Index("revision_kind_to", revision.c.kind, revision.c.valid_to_ms)
sa.Index("revision_from", revision.c.valid_from_ms)

# What happened, a row each: app/store/differences says in which words. Told by the scan of `at_ms`
# and not yet by the one of `after_ms`. Without a host: npvirt itself. Rows stay when what they
# name is no longer kept, so revisions are named without a foreign key.
change = sa.Table(
    "change",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("at_ms", Wide, nullable=False),
    sa.Column("after_ms", Wide),
    sa.Column("host_id", Wide, sa.ForeignKey("host.id")),
    sa.Column("entity_id", Wide),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    # The device or snapshot that it is about.
    sa.Column("part", sa.Text),
    sa.Column("old", sa.Text),
    sa.Column("new", sa.Text),
    sa.Column("old_revision_id", Wide),
    sa.Column("new_revision_id", Wide),
    # The definition's revision that came with it.
    sa.Column("xml_revision_id", Wide),
    # Of a move: the other host.
    sa.Column("peer_host_id", Wide),
    # From when on another row tells it better (a move); until then this one does.
    sa.Column("replaced_ms", Wide),
    sqlite_strict=True,
)
# With all that lists are narrowed and counted by, so that a count reads an index alone.
sa.Index(
    "change_at", change.c.at_ms, change.c.host_id, change.c.kind, change.c.what,
    change.c.replaced_ms,
)  # fmt: skip
sa.Index(
    "change_host", change.c.host_id, change.c.at_ms, change.c.kind, change.c.what,
    change.c.replaced_ms,
)  # fmt: skip
sa.Index("change_entity", change.c.entity_id, change.c.at_ms, change.c.what, change.c.replaced_ms)
sa.Index(
    "change_what", change.c.what, change.c.at_ms, change.c.host_id, change.c.kind,
    change.c.replaced_ms,
)  # fmt: skip

# Hosts whose older revisions are not told as changes yet: from which scan to which.
change_walk = sa.Table(
    "change_walk",
    metadata,
    sa.Column("host_id", Wide, sa.ForeignKey("host.id"), primary_key=True),
    sa.Column("next_ms", Wide, nullable=False),
    sa.Column("until_ms", Wide, nullable=False),
    sqlite_strict=True,
)

user = sa.Table(
    "user",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    # The hosts that they may see, as JSON; NULL: all.
    sa.Column("host_ids", sa.Text),
    # Werkzeug's scrypt text; NULL: they sign in elsewhere.
    sa.Column("password", sa.Text),
    sa.Column("source", sa.Text, nullable=False),
    # Issuer and subject at the provider of OpenID Connect that they came from.
    sa.Column("subject", sa.Text),
    sa.Column("disabled", Flag, nullable=False),
    sa.Column("created_at_ms", Wide, nullable=False),
    sa.Column("signed_in_at_ms", Wide),
    sqlite_strict=True,
)

session = sa.Table(
    "session",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    # Of the random text in the browser's cookie, which is kept nowhere.
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("user_id", Wide, sa.ForeignKey("user.id"), nullable=False),
    sa.Column("created_at_ms", Wide, nullable=False),
    sa.Column("seen_at_ms", Wide, nullable=False),
    sa.Column("expires_at_ms", Wide, nullable=False),
    sa.Column("peer", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("ended_at_ms", Wide),
    sqlite_strict=True,
)
sa.Index("session_user", session.c.user_id)

token = sa.Table(
    "token",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("host_ids", sa.Text),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at_ms", Wide, nullable=False),
    sa.Column("expires_at_ms", Wide),
    sa.Column("revoked_at_ms", Wide),
    sa.Column("used_at_ms", Wide),
    sqlite_strict=True,
)

# Tokens of embeds: each for one view with some of its parameters locked, on pages of some origins.
# Filters and origins are JSON. It ends with the user or token that made it.
embed_token = sa.Table(
    "embed_token",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    # The last characters of its text, by which people tell it from others.
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("view", sa.Text, nullable=False),
    sa.Column("filters", sa.Text, nullable=False),
    sa.Column("origins", sa.Text, nullable=False),
    # Whether pages of its origins may show it in a frame.
    sa.Column("frame", Flag, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("maker_kind", sa.Text, nullable=False),
    sa.Column("maker", sa.Text, nullable=False),
    sa.Column("created_at_ms", Wide, nullable=False),
    sa.Column("expires_at_ms", Wide, nullable=False),
    sa.Column("revoked_at_ms", Wide),
    sa.Column("used_at_ms", Wide),
    sqlite_strict=True,
)

# Findings of the capacity review that somebody dismissed, until the facts that they rest on are
# others (app/capacity/reclaim). Rows stay: of a past moment is told what was dismissed then.
dismissal = sa.Table(
    "dismissal",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("host_id", Wide, sa.ForeignKey("host.id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("facts_digest", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("at_ms", Wide, nullable=False),
    sa.Column("ended_at_ms", Wide),
    sqlite_strict=True,
)
sa.Index("dismissal_finding", dismissal.c.host_id, dismissal.c.kind, dismissal.c.key)

# The capacity reports of months ("2026-10"), as known at `at_ms`, a month's end; `body` is the JSON
# of app/capacity/report.
capacity_report = sa.Table(
    "capacity_report",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("month", sa.Text, nullable=False, unique=True),
    sa.Column("at_ms", Wide, nullable=False),
    sa.Column("made_ms", Wide, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sqlite_strict=True,
)

# Append-only. An intent has no outcome; the entry of its outcome names it in intent_id. A refusal
# is one entry. Each digest covers its row and the digest before it.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("intent_id", Wide, sa.ForeignKey("audit.id")),
    sa.Column("at_ms", Wide, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("peer", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("host_id", Wide),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("parameters", sa.Text, nullable=False),
    # Of an intent alone, so that the unique index lets one intent be.
    sa.Column("request_id", sa.Text),
    sa.Column("outcome", sa.Text),
    sa.Column("sentence", sa.Text),
    # What libvirt said, for admins.
    sa.Column("detail", sa.Text),
    sa.Column("took_ms", Wide),
    sa.Column("digest", sa.Text, nullable=False),
    sqlite_strict=True,
)
sa.Index("audit_at", audit.c.at_ms)
sa.Index("audit_object", audit.c.host_id, audit.c.key, audit.c.at_ms)
sa.Index("audit_intent", audit.c.intent_id, unique=True)
sa.Index(
    "audit_request",
    audit.c.host_id,
    audit.c.kind,
    audit.c.key,
    audit.c.action,
    audit.c.request_id,
    unique=True,
)


def sample_columns(kind: Kind) -> tuple[str, ...]:
    """The measured columns of a kind, in the order of its sample struct."""
    return tuple(field.encode_name for field in fields(kind.sample)) if kind.sample else ()


def _sample_table(kind: Kind) -> sa.Table:
    return sa.Table(
        f"sample_{kind.name}",
        metadata,
        sa.Column("ts", Wide, primary_key=True),
        sa.Column("entity", Wide, primary_key=True),
        *(sa.Column(name, Wide) for name in sample_columns(kind)),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


samples: Mapping[str, sa.Table] = {kind.name: _sample_table(kind) for kind in KINDS if kind.sample}

# Blobs of app/store/codec; the id says whose, of which tier and from which day (tiers.chunk_id).
# A table with row ids: large blobs in one without waste their pages.
chunk = sa.Table(
    "chunk",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sqlite_strict=True,
)

DAILY_FIGURES = ("min", "avg", "max", "p95", "last")


def daily_columns(kind: str) -> tuple[str, ...]:
    """The columns of a kind's days, by metric and figure."""
    metrics = (metric.name for metric in METRICS if metric.kind == kind)
    return tuple(f"{name}_{figure}" for name in metrics for figure in DAILY_FIGURES)


def _daily_table(kind: Kind) -> sa.Table:
    return sa.Table(
        f"daily_{kind.name}",
        metadata,
        # "2026-05-01", of UTC.
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("entity", Wide, primary_key=True),
        *(sa.Column(name, sa.REAL) for name in daily_columns(kind.name)),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


dailies: Mapping[str, sa.Table] = {kind.name: _daily_table(kind) for kind in KINDS if kind.sample}

# Blobs of app/store/keyframes; the id says of which host, kind and day.
keyframe = sa.Table(
    "keyframe",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sqlite_strict=True,
)

# Up to which day (of UTC, since 1970) what a host's scans measured stands in chunks, and the last
# of these scans.
compacted = sa.Table(
    "compacted",
    metadata,
    sa.Column("host_id", Wide, sa.ForeignKey("host.id"), primary_key=True),
    sa.Column("before_day", Wide, nullable=False),
    sa.Column("last_scan_ms", Wide, nullable=False),
    sqlite_strict=True,
)

# Objects' days that could not be put together, and why: their samples are kept as they are.
not_compacted = sa.Table(
    "not_compacted",
    metadata,
    sa.Column("entity", Wide, primary_key=True),
    sa.Column("day", Wide, primary_key=True),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("at_ms", Wide, nullable=False),
    sqlite_strict=True,
)

# Of hosts' days that were put together later than usual from when on they count (known_days).
late_day = sa.Table(
    "late_day",
    metadata,
    sa.Column("host_id", Wide, sa.ForeignKey("host.id"), primary_key=True),
    sa.Column("day", Wide, primary_key=True),
    sa.Column("counts_from_ms", Wide, nullable=False),
    sqlite_strict=True,
)

# What rows of days said until they were put together again, as JSON by column; NULL: there was no
# row.
replaced_day = sa.Table(
    "replaced_day",
    metadata,
    sa.Column("entity", Wide, primary_key=True),
    sa.Column("day", Wide, primary_key=True),
    sa.Column("until_ms", Wide, primary_key=True),
    sa.Column("body", sa.Text),
    sqlite_strict=True,
)

# From when on what is kept of a tier is whole: "recent" (the samples), "1m", "10m", "1h", "1d".
# No row: from the beginning.
horizon = sa.Table(
    "horizon",
    metadata,
    sa.Column("tier", sa.Text, primary_key=True),
    sa.Column("from_ms", Wide, nullable=False),
    sqlite_strict=True,
)

# What is looked after now and then: "verified", "backup"; "schema" has the checksum of itself.
upkeep = sa.Table(
    "upkeep",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at_ms", Wide, nullable=False),
    sa.Column("took_ms", Wide, nullable=False),
    sa.Column("ok", Flag, nullable=False),
    sa.Column("value", Wide),
    sa.Column("sentence", sa.Text),
    sqlite_strict=True,
)

# What is told to whom; app/notification/values says what the columns mean.
notification_rule = sa.Table(
    "notification_rule",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("threshold", sa.Integer),
    # Words of changes, and ids of targets, as JSON.
    sa.Column("whats", sa.Text, nullable=False),
    sa.Column("hosts", sa.Text, nullable=False),
    sa.Column("objects", sa.Text, nullable=False),
    sa.Column("target_ids", sa.Text, nullable=False),
    # Quiet hours as JSON; NULL: none.
    sa.Column("quiet", sa.Text),
    sa.Column("pause_minutes", sa.Integer, nullable=False),
    sa.Column("enabled", Flag, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at_ms", Wide, nullable=False),
    sa.Column("since_ms", Wide, nullable=False),
    sa.Column("seen_change_id", Wide, nullable=False),
    sqlite_strict=True,
)

# Where notifications go. What is secret of a target stands in a file of its own.
notification_target = sa.Table(
    "notification_target",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("enabled", Flag, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at_ms", Wide, nullable=False),
    sqlite_strict=True,
)

# Conditions that rules found: still so while ended_ms is NULL.
notification_alert = sa.Table(
    "notification_alert",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("rule_id", Wide, nullable=False),
    sa.Column("host_id", Wide, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("began_ms", Wide, nullable=False),
    sa.Column("ended_ms", Wide),
    sqlite_strict=True,
)
sa.Index(
    "notification_alert_open",
    notification_alert.c.rule_id,
    notification_alert.c.host_id,
    notification_alert.c.kind,
    notification_alert.c.key,
    unique=True,
    sqlite_where=notification_alert.c.ended_ms.is_(None),
    postgresql_where=notification_alert.c.ended_ms.is_(None),
)

# What is told: rows stay when the rule, the target or the host they name is no longer there.
notification_event = sa.Table(
    "notification_event",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("uid", sa.Text, nullable=False, unique=True),
    sa.Column("at_ms", Wide, nullable=False),
    # When it came to be so, as far as is known.
    sa.Column("since_ms", Wide),
    # From when on it may be told: later than at_ms where the same object was told of just before.
    sa.Column("due_ms", Wide, nullable=False),
    sa.Column("rule_id", Wide, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("rule_kind", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("host_id", Wide),
    sa.Column("host", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("alert_id", Wide),
    sa.Column("change_id", Wide),
    sqlite_strict=True,
)
sa.Index("notification_event_at", notification_event.c.at_ms)
sa.Index(
    "notification_event_object", notification_event.c.rule_id, notification_event.c.host_id,
    notification_event.c.kind, notification_event.c.key, notification_event.c.due_ms,
)  # fmt: skip
# A change is told once by a rule, whoever finds it.
sa.Index(
    "notification_event_change",
    notification_event.c.change_id,
    notification_event.c.rule_id,
    unique=True,
)

# Which event is for which target, and in which message it went out.
notification_delivery = sa.Table(
    "notification_delivery",
    metadata,
    sa.Column("event_id", Wide, sa.ForeignKey("notification_event.id"), primary_key=True),
    sa.Column("target_id", Wide, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    # Not before: after quiet hours.
    sa.Column("due_ms", Wide, nullable=False),
    sa.Column("message_id", Wide),
    sqlite_strict=True,
)
sa.Index(
    "notification_delivery_due", notification_delivery.c.state, notification_delivery.c.target_id,
    notification_delivery.c.due_ms,
)  # fmt: skip
sa.Index("notification_delivery_message", notification_delivery.c.message_id)

# What goes out at once, tried until it arrived, was given up, or may have arrived.
notification_message = sa.Table(
    "notification_message",
    metadata,
    sa.Column("id", Wide, primary_key=True),
    sa.Column("uid", sa.Text, nullable=False, unique=True),
    sa.Column("target_id", Wide, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("events", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("made_ms", Wide, nullable=False),
    sa.Column("next_ms", Wide),
    sa.Column("tried_ms", Wide),
    sa.Column("ended_ms", Wide),
    sa.Column("took_ms", Wide),
    # What the receiver answered: HTTP's or SMTP's number.
    sa.Column("status", sa.Integer),
    sa.Column("sentence", sa.Text),
    # What the receiver said, for admins.
    sa.Column("detail", sa.Text),
    sa.Column("about_id", Wide),
    sqlite_strict=True,
)
sa.Index(
    "notification_message_state", notification_message.c.state, notification_message.c.target_id
)
sa.Index("notification_message_made", notification_message.c.made_ms)

KIND_BIT: Mapping[str, int] = {kind.name: 1 << position for position, kind in enumerate(KINDS)}
