"""libvirt's XML as plain values: one pure parser per kind of thing.

Owns how XML that a host sends is parsed (safely: see `document`) and which of its elements npvirt
keeps. Makes no call, knows no libvirt object; every text and number that leaves here is bounded.
"""
