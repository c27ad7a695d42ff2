"""Which texts are nearly the same? Shingles, Jaccard's measure of two sets, MinHash and
locality-sensitive hashing (LSH).

    sets = [shingles(text) for text in texts]
    exact_pairs(sets, 0.8)      # compares all pairs: certain, and slow
    near_pairs(sets, 0.8)       # compares only pairs that share a bucket: nearly certain, and fast
"""

import zlib
from collections import defaultdict
from itertools import combinations

import numpy as np

WIDTH = 5  # characters of a shingle
PRIME = 2**31 - 1  # hashes are below it, so that a product of two fits into 64 bits
N_HASHES = 128
MISSED = 1e-3  # share of the pairs just at the threshold that LSH may overlook


def normal(text):
    """Small letters and single spaces: differences in these do not count."""
    return " ".join(text.casefold().split())


def shingles(text, width=WIDTH):
    """The set of all runs of `width` characters of a text; of a shorter text, the text itself.

    >>> sorted(shingles("A  fox", width=3))
    [' fo', 'a f', 'fox']
    """
    text = normal(text)
    return {text[i : i + width] for i in range(max(1, len(text) - width + 1))} if text else set()


def jaccard(a, b):
    """The share of all elements of two sets that both have: |a ∩ b| / |a ∪ b| [Jaccard 1901]. Of
    empty sets: 0.
    """
    both = len(a & b)
    return both / (len(a) + len(b) - both) if both else 0.0


def exact_pairs(sets, threshold):
    """{(i, j): Jaccard} of all pairs i < j that reach the threshold, by comparing every pair."""
    values = {(i, j): jaccard(sets[i], sets[j]) for i, j in combinations(range(len(sets)), 2)}
    return {pair: value for pair, value in values.items() if value >= threshold}


def minhash(sets, n_hashes=N_HASHES, seed=0):
    """Signatures, (sets, n_hashes): the smallest hash of each set under `n_hashes` random functions
    [Broder 1997].

    The element with the smallest hash is a random element of a ∪ b. If it lies in a ∩ b, both sets
    have it as their smallest. So two signatures agree in a place with a probability of |a ∩ b| / |a
    ∪ b|. Empty sets are refused.
    """
    rng = np.random.default_rng(seed)
    factor, shift = rng.integers(1, PRIME, (2, n_hashes, 1))
    signatures = np.empty((len(sets), n_hashes), dtype=np.int64)
    for row, elements in zip(signatures, sets, strict=True):
        numbers = np.array(
            [zlib.crc32(element.encode("utf-8", "surrogatepass")) % PRIME for element in elements]
        )  # (elements,)
        row[:] = ((factor * numbers + shift) % PRIME).min(
            axis=1
        )  # (n_hashes, elements) -> (n_hashes,)
    return signatures


def chance(similarity, bands, rows):
    """How probable it is that two sets of this similarity share a bucket: 1 − (1 − s^rows)^bands."""
    return 1 - (1 - similarity**rows) ** bands


def choose_bands(threshold, n_hashes=N_HASHES, missed=MISSED):
    """(bands, rows): the longest rows that overlook no more than `missed` of the pairs at the
    threshold.

    Raises ValueError for a threshold that is too low for so few hashes.
    """
    for rows in range(n_hashes, 0, -1):
        if 1 - chance(threshold, n_hashes // rows, rows) <= missed:
            return n_hashes // rows, rows
    raise ValueError(
        f"a threshold of {threshold} is too low for {n_hashes} hashes; take a higher one"
    )


def candidates(signatures, bands, rows):
    """The pairs whose signatures agree in all `rows` places of at least one of the bands."""
    pairs = set()
    for band in range(bands):
        buckets = defaultdict(list)
        for number, part in enumerate(signatures[:, band * rows : (band + 1) * rows]):
            buckets[part.tobytes()].append(number)
        for bucket in buckets.values():
            pairs.update(combinations(bucket, 2))
    return pairs


def near_pairs(sets, threshold, n_hashes=N_HASHES, seed=0):
    """{(i, j): Jaccard} as `exact_pairs`, but only pairs that share a bucket are compared. No pair
    in it is wrong.
    """
    bands = choose_bands(threshold, n_hashes)
    filled = [number for number, elements in enumerate(sets) if elements]
    signatures = minhash([sets[number] for number in filled], n_hashes, seed)
    found = ((filled[i], filled[j]) for i, j in sorted(candidates(signatures, *bands)))
    values = {(i, j): jaccard(sets[i], sets[j]) for i, j in found}
    return {pair: value for pair, value in values.items() if value >= threshold}


def groups(count, pairs):
    """Join pairs to groups: lists of at least two numbers below `count`, each number in one group
    at most.

    >>> groups(6, [(0, 3), (3, 5), (1, 2)])
    [[0, 3, 5], [1, 2]]
    """
    leader = list(range(count))

    def find(number):
        while leader[number] != number:
            leader[number] = leader[leader[number]]  # a shortcut for the next time
            number = leader[number]
        return number

    for i, j in pairs:
        first, second = sorted((find(i), find(j)))
        leader[second] = first
    members = defaultdict(list)
    for number in range(count):
        members[find(number)].append(number)
    return [group for group in members.values() if len(group) > 1]


def distinct(texts):
    """The numbers of equal texts, capitals and white space aside: a list of lists. Empty texts are
    left out.

    A thousand copies of one text are then compared once, and make no million pairs.
    """
    copies = defaultdict(list)
    for number, text in enumerate(texts):
        if normal(text):
            copies[normal(text)].append(number)
    return list(copies.values())


def duplicate_groups(texts, threshold, pairs_of=near_pairs):
    """Groups of texts, each nearly equal to another of its group, and {(i, j): Jaccard} of the
    pairs that join them.
    """
    copies = distinct(texts)
    near = pairs_of([shingles(texts[numbers[0]]) for numbers in copies], threshold)
    pairs = {(copies[a][0], copies[b][0]): value for (a, b), value in near.items()}
    pairs |= {(numbers[0], other): 1.0 for numbers in copies for other in numbers[1:]}
    return groups(len(texts), pairs), pairs


def nearest_before(texts, border, threshold, pairs_of=near_pairs):
    """Which of the texts from `border` on have a near-duplicate before it: {number: (number of that
    one, Jaccard)}.
    """
    copies, found = distinct(texts), {}
    near = pairs_of([shingles(texts[numbers[0]]) for numbers in copies], threshold)
    both_ways = [link for (a, b), value in near.items() for link in ((a, b, value), (b, a, value))]
    for a, b, value in [(a, a, 1.0) for a in range(len(copies))] + both_ways:
        for number in copies[b]:
            if copies[a][0] < border <= number and value > found.get(number, (None, 0.0))[1]:
                found[number] = copies[a][0], value
    return found
