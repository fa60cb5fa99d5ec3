"""libvirt: the way to a host, and the looks at it.

The only package that imports libvirt. Knows nothing of the store, of schedules or of the web.
"""
