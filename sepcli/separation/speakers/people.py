"""What each person sounds like, from pieces in which one voice is heard; pure.

Pieces are clustered by average linkage, which gives a person several groups. Then the two groups
most alike are joined, again and again. A few pieces say more about words than about their speaker,
so likeness is measured by what groups of that size have when they are one person's. What is left
over in the end, of too few pieces and like nobody, is mostly of two people at once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

MOST_PEOPLE = 8
MOST_PIECES = 1500  # that are to be clustered: memory and time grow with the square
# chosen on conversations of training speakers whom the embedding did not know
GROUP_LIKENESS = 0.55  # mean likeness of the pieces of a group
SAME_PERSON = 0.85  # likeness of two groups, relative to what one person's have
SAME_PERSON_OF_TWO = 0.95  # of the last two groups, where outputs say that two speak at once
PIECES_FOR_WORDS = 5.0  # so many tell as much about who speaks as about what is said
MIN_PIECES = 4  # of a person who is counted
SHARE_TOGETHER, LESS_ALIKE = 0.3, 0.3  # who speak at once so often have to be more alike by this


@dataclass(frozen=True)
class Pieces:
    """What is heard of one voice at a time.

    Attributes:
        voices: Of length one, `[pieces, dims]`.
        windows: Which window of the recording each is from, `[pieces]`; two from one window are two
            people's.
    """

    voices: Array
    windows: IntArray


def find_people(
    pieces: Pieces, num_people: int | None, most: int = MOST_PEOPLE, *, two_at_once: bool = False
) -> Array:
    """Return what each person sounds like, `[people, dims]`, of length one.

    Args:
        pieces: What is heard, some `MOST_PIECES` at most; see `thinned`.
        num_people: How many there are; fewer are found where there are too few pieces. None counts
            them.
        most: How many there are at most, where they are counted.
        two_at_once: Whether two outputs are often loud at once, so that one person is unlikely.
    """
    if len(pieces.voices) < 2:
        return pieces.voices
    together = pieces.windows[:, np.newaxis] == pieces.windows
    np.fill_diagonal(together, False)
    members = _linked(pieces.voices, together, num_people or 1)
    sums, sizes = members @ pieces.voices, members.sum(axis=1)
    together = members @ together.astype(np.float32) @ members.T
    while len(sums) > 1:
        likeness = _likeness(sums, sizes, together)
        one, other = sorted(divmod(int(likeness.argmax()), len(sums)))
        is_open = num_people is None or len(sums) > num_people
        least = SAME_PERSON_OF_TWO if two_at_once and len(sums) == 2 else SAME_PERSON
        if is_open and likeness[one, other] >= least:
            gone = other
            sums[one] += sums[other]
            sizes[one] += sizes[other]
            together[one] += together[other]
            together[:, one] += together[:, other]
        elif num_people is None and sizes.min() < MIN_PIECES:
            gone = int(sizes.argmin())
        elif len(sums) > (num_people or most):
            gone = _least_missed(sums)
        else:
            break
        sums, sizes = np.delete(sums, gone, axis=0), np.delete(sizes, gone)
        together = np.delete(np.delete(together, gone, axis=0), gone, axis=1)
    return unit(sums)


def unit(voices: Array) -> Array:
    """Return voices of length one, `[..., dims]`; zero stays zero."""
    length = np.linalg.norm(voices, axis=-1, keepdims=True)
    return np.asarray(voices / np.maximum(length, 1e-9), np.float32)


def thinned(windows: IntArray) -> Mask:
    """Return which pieces to cluster, by the window each is from: those of every so many windows.

    Two from one window stay together, so there may be a few more than `MOST_PIECES`.
    """
    every = max(1, -(-len(windows) // MOST_PIECES))
    return np.asarray(windows % every == 0)


def _linked(voices: Array, together: Mask, least: int) -> Array:
    """Return whose group each piece is in by average linkage, `[groups, pieces]`, 0 or 1.

    Args:
        voices: Of pieces, of length one.
        together: Which pieces are two people's.
        least: How many groups there are at least.
    """
    # here, since most recordings have no people to find, and it takes a while to import
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = voices @ voices.T
    np.subtract(1.0, distance, out=distance)
    np.maximum(distance, 0.0, out=distance)
    distance[together] = 3.0  # more than any two voices have
    np.fill_diagonal(distance, 0.0)
    distance = squareform(distance, checks=False).astype(np.float64)  # which linkage copies once
    tree = linkage(distance, "average")
    labels = fcluster(tree, 1.0 - GROUP_LIKENESS, "distance")
    if labels.max() < least:
        labels = fcluster(tree, least, "maxclust")
    return np.asarray(np.unique(labels)[:, np.newaxis] == labels, np.float32)


def _least_missed(sums: Array) -> int:
    """Return the group whose pieces are nearly as much like another one: it takes them over."""
    likeness = sums @ unit(sums).T
    own = likeness.diagonal().copy()
    np.fill_diagonal(likeness, -np.inf)
    return int((own - likeness.max(axis=1)).argmin())


def _likeness(sums: Array, sizes: Array, together: Array) -> Array:
    """Return how alike groups are, relative to groups of one person, `[groups, groups]`.

    In the mean of n pieces the voice stays and words fade, in power as 1 / n, so that the voice has
    n / (n + PIECES_FOR_WORDS) of it; of two means of one person, likeness is the root of both.

    Args:
        sums: Of the voices of each group, `[groups, dims]`.
        sizes: How many pieces each has.
        together: In how many windows two groups have pieces, `[groups, groups]`.
    """
    voices, share = unit(sums), sizes / (sizes + PIECES_FOR_WORDS)
    likeness = voices @ voices.T / np.sqrt(share[:, np.newaxis] * share)
    smaller = np.minimum(sizes[:, np.newaxis], sizes)
    likeness -= np.where(together > SHARE_TOGETHER * smaller, LESS_ALIKE, 0.0)
    np.fill_diagonal(likeness, -np.inf)
    return np.asarray(likeness)
