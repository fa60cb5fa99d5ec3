"""The store: what npvirt keeps, in SQLite through SQLAlchemy Core.

The only package that imports SQLAlchemy (migrations/ aside). Takes and returns the values of
app/inventory and app/connection; knows nothing of libvirt, Flask or schedules.
"""
