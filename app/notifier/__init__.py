"""Notifying: finding out what rules have to tell, and telling it.

Runs in the process that collects, beside the scans, over the store alone: it asks no host. What it
finds is committed before anything is sent. `Notifier` is what the collector talks to; the web
sends tests through `sending.send_test`.
"""
