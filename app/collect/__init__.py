"""Collecting: which process scans, when each host is scanned, and what becomes of a scan.

Sits between `app/virt` (looks at hosts) and `app/store` (keeps what was seen). Serves no request
and draws no page. `Collector` is what the rest of npvirt talks to.
"""
