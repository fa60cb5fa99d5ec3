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


def buckets(body, wanted):
    """(number of the bucket, weight, total, lowest, highest) of a series; lowest None: as total."""
    version, starts, weights, columns = msgspec.msgpack.decode(zlib.decompress(body))
    assert version == 1
    for name, kind, weight, total, low, high, difference in columns:
        if name == wanted and difference is None:
            lists = [vector(starts), vector(weights[weight]), vector(total)]
            lows = highs = [None] * len(lists[0])
            if low is not None:
                lows, highs = vector(low), vector(high)
            if low is not None and kind == "gauge":
                highs = [least + above for least, above in zip(lows, highs, strict=True)]
            yield from zip(*lists, lows, highs, strict=True)
        elif name == wanted:
            whole, part = (list(buckets(body, columns[place][0])) for place in difference)
            for one, less in zip(whole, part, strict=True):
                low = None if None in (one[3], less[4]) else one[3] - less[4]
                high = None if None in (one[4], less[3]) else one[4] - less[3]
                yield one[0], one[1], one[2] - less[2], low, high


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
