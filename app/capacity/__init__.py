"""The capacity review's judgement: what is full when, promised, wasted, grown, and what still fits.

Pure functions on series and inventories, which app/store/capacity reads. Knows no store, no web
and no libvirt; reads no clock. What is not known is None, and what could not be seen is not judged.
"""
