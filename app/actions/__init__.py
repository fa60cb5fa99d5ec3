"""What people do to hosts: one registry of actions, and the one way in which each is performed.

Buttons, confirmations, roles, audit names, addresses, the API's and the README's tables all come
from the registry. Knows no request and no page.
"""
