"""Read packed tiers of an npvirt store without npvirt: `read_chunk.py STORE ENTITY TIER SERIES`.

ENTITY is an id of the table `entity`, TIER 1m, 10m or 1h, SERIES for example cpu_time_ns. Needs
msgspec (or msgpack's `unpackb`). The layout is told in docs/data.md.
"""

import sqlite3
import sys
import zlib
from itertools import accumulate

import msgspec

TIERS = {"1m": (0, 60), "10m": (1, 600), "1h": (2, 3600)}


def vector(packed):
    count, offset, factor, first, width, planes, text = packed
    if text:
        return [int(number) for number in text.split(",")]
    stored = count if first is None else count - 1
    values = [0] * stored
    for byte in range(width):
        for place, value in enumerate(planes[byte * stored : (byte + 1) * stored]):
            values[place] |= value << (8 * byte)
    values = [offset + factor * value for value in values]
    return values if first is None else list(accumulate(values, initial=first))


def bound(code, bits):
    """The number whose code it is: its rank among those of so many leading bits."""
    surplus = (code >> (bits - 1)) - 1 if bits else 0
    return (code - (surplus << (bits - 1))) << surplus if surplus > 0 else code


def buckets(body, wanted):
    """(number of the bucket, weight, total, lowest, highest) of a series; lowest None: as total."""
    version, starts, weights, columns = msgspec.msgpack.decode(zlib.decompress(body))
    assert version in (1, 2)
    for name, kind, weight, total, low, high, difference, *more in columns:
        if name != wanted:
            continue
        starts, weights, bits = vector(starts), vector(weights[weight]), more[0] if more else 0
        totals, lows = vector(total), [None] * len(starts)
        highs = lows
        if difference is not None:
            whole, part = (list(buckets(body, columns[place][0])) for place in difference)
            totals = [one[2] - less[2] for one, less in zip(whole, part, strict=True)]
            if low is None and whole and whole[0][3] is not None and part[0][3] is not None:
                lows = [one[3] - less[4] for one, less in zip(whole, part, strict=True)]
                highs = [one[4] - less[3] for one, less in zip(whole, part, strict=True)]
        if low is not None:
            lows, above = vector(low), vector(high)
            rises = lows if kind == "gauge" else [0] * len(lows)
            highs = [bound(a + least, bits) for least, a in zip(rises, above, strict=True)]
            lows = [bound(least, bits) for least in lows]
            for place, (ms, number) in enumerate(zip(weights, totals, strict=True)):
                if bits and not above[place]:
                    per_s = {"gauge": 1, "counter": 1000, "events": 1_000_000}[kind]
                    lows[place] = highs[place] = number * per_s // ms if ms else 0
        yield from zip(starts, weights, totals, lows, highs, strict=True)


if __name__ == "__main__":
    store, entity, tier, series = sys.argv[1:]
    number, seconds = TIERS[tier]
    first = int(entity) << 32 | number << 30
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    query = "SELECT body FROM chunk WHERE id BETWEEN ? AND ? ORDER BY id"
    print("time,weight,total,lowest,highest")
    for (body,) in connection.execute(query, (first, first + (1 << 30) - 1)):
        for start, *figures in buckets(body, series):
            print(start * seconds, *("" if f is None else f for f in figures), sep=",")
