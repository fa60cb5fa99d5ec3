"""The shapes of the API's JSON, as types: what the OpenAPI document says of answers and bodies.

Pure. What may be unknown is None; no field of an answer is ever absent. Tests hold what the
routes answer against these.
"""
