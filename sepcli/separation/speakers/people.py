"""What each person sounds like, from windows in which one person speaks; pure.

Windows are clustered: average linkage first, then means that move to their members, then the pair
of clusters that loses least is merged until as many are left as there are people. A window of its
own says more about words than about its speaker, so windows are looked at with their neighbours.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]

MOST_PEOPLE = 8
MOST_WINDOWS = 1500  # that are clustered: memory and time grow with the square
NEIGHBOURS = 5  # windows that are heard together
MIN_MEMBERS = 3
ROUNDS = 5


def find_people(voices: Array, num_people: int) -> Array:
    """Return what each person sounds like, `[people, dims]`, of length one.

    Args:
        voices: Of windows in which one speaks, in order of time, `[windows, dims]`, of length one.
        num_people: How many there are; fewer are found where there are too few windows.
    """
    if len(voices) > MOST_WINDOWS:
        voices = voices[np.linspace(0, len(voices) - 1, MOST_WINDOWS).round().astype(int)]
    if len(voices) < 2:
        return voices
    around = _with_neighbours(voices)
    groups = _linked(around, 2 * max(MOST_PEOPLE, num_people), num_people)
    centroids = np.stack([unit(around[group].sum(axis=0)) for group in groups])
    while True:
        centroids, members = _settled(around, centroids)
        if len(centroids) <= num_people:
            break
        one, other = _closest(around, members)
        together = around[(members == one) | (members == other)].sum(axis=0)
        centroids[one] = unit(together)
        centroids = np.delete(centroids, other, axis=0)
    return np.stack([unit(voices[members == k].sum(axis=0)) for k in range(len(centroids))])


def unit(voices: Array) -> Array:
    """Return voices of length one, `[..., dims]`; zero stays zero."""
    length = np.linalg.norm(voices, axis=-1, keepdims=True)
    return np.asarray(voices / np.maximum(length, 1e-9), np.float32)


def _with_neighbours(voices: Array) -> Array:
    """Return the mean of each window and those around it, `[windows, dims]`, of length one."""
    padded = np.pad(voices, ((NEIGHBOURS // 2, NEIGHBOURS // 2), (0, 0)))
    return unit(np.lib.stride_tricks.sliding_window_view(padded, NEIGHBOURS, axis=0).sum(axis=-1))


def _linked(voices: Array, num_groups: int, least: int) -> list[np.ndarray[Any, Any]]:
    """Return groups of windows by average linkage; strays are left out if enough others stay."""
    # here, since most recordings have no people to find, and it takes a while to import
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = np.maximum(1.0 - voices @ voices.T, 0.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "average")
    labels = fcluster(tree, num_groups, "maxclust")
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    large = [group for group in groups if len(group) >= MIN_MEMBERS]
    return large if len(large) >= least else groups


def _settled(voices: Array, centroids: Array) -> tuple[Array, np.ndarray[Any, Any]]:
    """Return centroids that are the means of their members, and whose member each window is."""
    for _ in range(ROUNDS):
        members = (voices @ centroids.T).argmax(axis=1)
        kept = np.unique(members)
        centroids = np.stack([unit(voices[members == k].sum(axis=0)) for k in kept])
    return centroids, (voices @ centroids.T).argmax(axis=1)


def _closest(voices: Array, members: np.ndarray[Any, Any]) -> tuple[int, int]:
    """Return the two clusters that lose least when they are one (Ward's loss on the sphere)."""
    sums = np.stack([voices[members == k].sum(axis=0) for k in range(members.max() + 1)])
    lengths = np.linalg.norm(sums, axis=1)
    merged = np.linalg.norm(sums[:, np.newaxis] + sums[np.newaxis], axis=-1)
    loss = lengths[:, np.newaxis] + lengths - merged
    np.fill_diagonal(loss, np.inf)
    one, other = np.unravel_index(int(loss.argmin()), loss.shape)
    return int(one), int(other)
