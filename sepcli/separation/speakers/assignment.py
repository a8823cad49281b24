"""The order of speakers in all chunks at once, from the evidence of all of them.

Every chunk is in one of K! states, its order. A path through the states scores

    Σ over chunks and places  VOICE_WEIGHT · trust · ⟨voice of the output put there, its centroid⟩
  + Σ over seams and places   AGREEMENT_WEIGHT · agreement of the two outputs put there

Viterbi finds the best path for given centroids, the path gives new centroids, and so on until it
stays. That climbs to the nearest peak only, so it starts from several places, all of them fixed:
the same evidence always gives the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from sepcli.errors import ModelError
from sepcli.separation.speakers.evidence import ChunkEvidence
from sepcli.separation.speakers.order import SpeakerOrder, Uncertain

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

VOICE_WEIGHT = 12.0
AGREEMENT_WEIGHT = 6.0
MOST_SPEAKERS = 5  # 120 states; 6 speakers would have 720, and no separator of six is published
ROUNDS = 15  # it settles after 3 to 5
STARTS = 16
QUIET_RATIO = 10.0**-2.5  # outputs 25 dB below what is usual here are no speech
USUAL_PERCENTILE = 90.0
SPEECH_SECONDS = 0.3  # an output that dominates for less may go anywhere without harm
SAME_VOICE = 0.6  # centroids closer than this are one person ...
MIN_SHARE_TOGETHER = 0.03  # ... unless both are heard in the same chunks for more than this share
MIN_SHARE_OF_A_PLACE = 0.01  # of the longest speech of a place; less is no person
MIN_MARGIN = 1.5  # a smaller one is listed as uncertain; docs/speaker-order.md counts them


@dataclass(frozen=True)
class _Problem:
    """The evidence of all chunks, stacked."""

    states: IntArray  # [states, speakers]: the output that goes to each place
    voices: np.ndarray[Any, np.dtype[np.float32]]  # [chunks, speakers, dims], times trust
    matters: np.ndarray[Any, np.dtype[np.bool_]]  # [chunks, speakers]: who is heard
    seconds: FloatArray  # [chunks, speakers]
    agreement: FloatArray  # [chunks, speakers, speakers], with the chunk before

    def pairs(self, chunk: int) -> FloatArray:
        """Return the score of each state of the chunk before with each here, `[states, states]`."""
        matrix = self.agreement[chunk]
        before, after = self.states[:, np.newaxis], self.states[np.newaxis]
        return np.asarray(AGREEMENT_WEIGHT * matrix[before, after].sum(axis=-1))

    def unaries(self, centroids: FloatArray) -> FloatArray:
        """Return the score of each state of each chunk, `[..., chunks, states]`.

        Args:
            centroids: `[..., speakers, dims]`; a place of zeros is one for somebody silent.
        """
        likeness = np.einsum("nkd,...sd->...nks", self.voices, centroids)
        total = likeness[..., self.states[:, 0], 0]
        for place in range(1, self.states.shape[1]):
            total += likeness[..., self.states[:, place], place]
        return np.asarray(VOICE_WEIGHT * total)


def require_states(num_chunks: int, num_speakers: int) -> None:
    """Raise `ModelError` if that many speakers cannot be kept in order over that many chunks."""
    if num_chunks > 1 and num_speakers > MOST_SPEAKERS:
        raise ModelError(
            f"more than {MOST_SPEAKERS} speakers cannot be kept in order: {num_speakers}",
            "give a --chunk that is as long as the recording",
        )


def solve_order(evidence: Sequence[ChunkEvidence], num_speakers: int) -> SpeakerOrder:
    """Return the order of speakers in every chunk.

    Args:
        evidence: Of all chunks, in order.
        num_speakers: Outputs of the separator.

    Raises:
        ModelError: There are more than `MOST_SPEAKERS` of them, and more than one chunk.
    """
    if not evidence:
        nothing = np.zeros((0, num_speakers), np.int64)
        return SpeakerOrder(nothing, np.zeros(0), (), 0)
    if len(evidence) == 1:
        return _order_of_one(evidence[0])
    require_states(len(evidence), num_speakers)
    problem = _stack(evidence, num_speakers)
    path, margins = _decide(problem)
    places = _by_onset(evidence, problem, path)
    uncertain = tuple(
        Uncertain(each.start, each.stop, float(margin))
        for each, margin in zip(evidence, margins, strict=True)
        if margin < MIN_MARGIN
    )
    return SpeakerOrder(
        orders=problem.states[path][:, places],
        margins=margins,
        uncertain=uncertain,
        num_voices=_num_heard(problem, path),
    )


def _order_of_one(chunk: ChunkEvidence) -> SpeakerOrder:
    """Return the order of a single chunk: there is nothing to decide but who comes first."""
    heard = chunk.seconds >= SPEECH_SECONDS
    heard &= chunk.power > QUIET_RATIO * chunk.power[heard].max(initial=0.0)
    order = np.where(heard, chunk.onsets, chunk.stop).argsort(kind="stable")
    seconds = chunk.seconds[heard]
    num_voices = int((seconds > MIN_SHARE_OF_A_PLACE * seconds.max(initial=0.0)).sum())
    return SpeakerOrder(order[np.newaxis], np.array([np.inf]), (), num_voices)


def _decide(problem: _Problem) -> tuple[IntArray, FloatArray]:
    """Return the best path, with one voice fewer where two are one person, and its margins."""
    num_voices = problem.states.shape[1]
    path, centroids = _solve(problem, num_voices)
    while num_voices > 1 and _is_split(problem, path, centroids):
        num_voices -= 1
        path, centroids = _solve(problem, num_voices)
    return path, _margins(problem, path, problem.unaries(centroids))


def _num_heard(problem: _Problem, path: IntArray) -> int:
    """Return in how many places somebody speaks, apart from stray seconds."""
    heard = np.where(problem.matters, problem.seconds, 0.0)
    total = np.take_along_axis(heard, problem.states[path], axis=1).sum(axis=0)
    return int(np.count_nonzero(total > MIN_SHARE_OF_A_PLACE * total.max()))


def _stack(evidence: Sequence[ChunkEvidence], num_speakers: int) -> _Problem:
    power = np.stack([each.power for each in evidence])
    trust = np.stack([each.trust for each in evidence]).astype(np.float64)
    seconds = np.stack([each.seconds for each in evidence]).astype(np.float64)
    heard = power[seconds >= SPEECH_SECONDS]
    usual = float(np.percentile(heard, USUAL_PERCENTILE)) if heard.size else 0.0
    loud = power > QUIET_RATIO * usual
    dims = max(1, *(each.voices.shape[1] for each in evidence))  # 1 where nobody was embedded
    voices = np.zeros((len(evidence), num_speakers, dims), np.float32)
    for number, each in enumerate(evidence):
        if each.voices.shape[1]:
            voices[number] = each.voices
    voices *= (trust * loud)[..., np.newaxis]
    return _Problem(
        states=np.array(list(permutations(range(num_speakers)))),
        voices=voices,
        matters=(seconds >= SPEECH_SECONDS) & loud,
        seconds=seconds * loud,
        agreement=np.stack([each.agreement for each in evidence]).astype(np.float64),
    )


def _solve(problem: _Problem, num_voices: int) -> tuple[IntArray, FloatArray]:
    """Return the best path found, `[chunks]`, and its centroids, `[speakers, dims]`."""
    centroids = _starts(problem, num_voices)
    paths, scores = _viterbi(problem, problem.unaries(centroids))
    for _ in range(ROUNDS):
        centroids = np.stack([_centroids(problem, path, num_voices) for path in paths])
        earlier = paths
        paths, scores = _viterbi(problem, problem.unaries(centroids))
        if np.array_equal(paths, earlier):
            break
    best = int(np.argmax(scores))
    return paths[best], centroids[best]


def _starts(problem: _Problem, num_voices: int) -> FloatArray:
    """Return centroids to start from, `[starts, speakers, dims]`.

    The first are those of the path that overlaps alone suggest. The others take the most trusted
    voice of a time of the recording, then the one least like those taken, and so on.
    """
    num_speakers, dims = problem.voices.shape[1:]
    nothing = np.zeros((1, num_speakers, dims))
    path = _viterbi(problem, problem.unaries(nothing))[0][0]
    starts = [_centroids(problem, path, num_voices)]
    trust = np.sqrt(np.einsum("nkd,nkd->nk", problem.voices, problem.voices))
    for part in np.array_split(np.arange(len(trust)), min(STARTS - 1, len(trust))):
        first = part[np.argmax(trust[part].max(axis=1))]
        taken = [problem.voices[first, np.argmax(trust[first])]]
        while len(taken) < num_voices:
            nearest = np.max([problem.voices @ voice for voice in taken], axis=0)
            unlike = np.where(trust > 0.5 * trust.max(initial=0.0), trust - nearest, -np.inf)
            taken.append(problem.voices.reshape(-1, dims)[np.argmax(unlike)])
        start = np.zeros((num_speakers, dims))
        start[:num_voices] = [_unit(voice) for voice in taken]
        starts.append(start)
    return np.stack(starts)


def _centroids(problem: _Problem, path: IntArray, num_voices: int) -> FloatArray:
    """Return the mean voice of each place, `[speakers, dims]`, of length one."""
    order = problem.states[path]
    every = np.arange(len(path))  # one place after the other: hours of voices are not small
    totals = [problem.voices[every, outputs].sum(axis=0) for outputs in order.T]
    centroids = np.stack([_unit(total) for total in totals])
    centroids[num_voices:] = 0.0
    return centroids


def _unit(voice: FloatArray) -> FloatArray:
    return np.asarray(voice / max(float(np.linalg.norm(voice)), 1e-9))


def _viterbi(problem: _Problem, unaries: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the best paths, `[starts, chunks]`, and their scores, `[starts]`.

    Args:
        problem: The evidence.
        unaries: Score of each state, `[starts, chunks, states]`.
    """
    num_starts, num_chunks, num_states = unaries.shape
    came_from = np.zeros((num_chunks, num_starts, num_states), np.int8)
    score = unaries[:, 0]
    for chunk in range(1, num_chunks):
        through = score[:, :, np.newaxis] + problem.pairs(chunk)
        came_from[chunk] = through.argmax(axis=1)
        score = through.max(axis=1) + unaries[:, chunk]
    paths = np.zeros((num_starts, num_chunks), np.int64)
    paths[:, -1] = score.argmax(axis=1)
    for chunk in range(num_chunks - 1, 0, -1):
        paths[:, chunk - 1] = came_from[chunk][np.arange(num_starts), paths[:, chunk]]
    return paths, score.max(axis=1)


def _is_split(problem: _Problem, path: IntArray, centroids: FloatArray) -> bool:
    """Return whether two places seem to hold one person: alike, and hardly ever heard together."""
    order = problem.states[path]
    seconds = np.take_along_axis(problem.seconds, order, axis=1)
    likeness = centroids @ centroids.T
    voiced = np.flatnonzero(np.linalg.norm(centroids, axis=1) > 0.0)
    for one in voiced:
        for other in voiced[voiced > one]:
            together = np.minimum(seconds[:, one], seconds[:, other]).sum()
            total = seconds[:, [one, other]].sum()
            if likeness[one, other] > SAME_VOICE and together <= MIN_SHARE_TOGETHER * total:
                return True
    return False


def _margins(problem: _Problem, path: IntArray, unaries: FloatArray) -> FloatArray:
    """Return by how much the path beats the best one that goes on differently, `[chunks]`.

    Going on differently means that somebody who is heard in a chunk or in the one before has
    another place, and there another partner across the seam. So exchanging outputs that hold
    nobody does not count, and neither does another order of all chunks alike.
    """
    num_chunks = len(path)
    behind = np.zeros_like(unaries)
    for chunk in range(num_chunks - 1, 0, -1):
        onward = problem.pairs(chunk) + (unaries[chunk] + behind[chunk])
        behind[chunk - 1] = onward.max(axis=1)
    places = np.argsort(problem.states, axis=1)  # of each output, [states, speakers]
    partners = problem.states[:, places]  # in the chunk before, [before, states, speakers]
    margins = np.full(num_chunks, np.inf)
    ahead = unaries[0]
    for chunk in range(1, num_chunks):
        best = ahead[:, np.newaxis] + problem.pairs(chunk) + (unaries[chunk] + behind[chunk])
        one, other = path[chunk - 1], path[chunk]
        moved = (places != places[other]) & problem.matters[chunk]
        moved_before = (places != places[one]) & problem.matters[chunk - 1]
        differs = (moved & (partners != partners[one, other])).any(axis=-1)
        followers = partners.swapaxes(0, 1)  # in this chunk, of each output of the one before
        differs |= (moved_before[:, np.newaxis] & (followers != followers[one, other])).any(axis=-1)
        margins[chunk] = best[one, other] - np.where(differs, best, -np.inf).max()
        ahead = (ahead[:, np.newaxis] + problem.pairs(chunk)).max(axis=0) + unaries[chunk]
    return margins


def _by_onset(evidence: Sequence[ChunkEvidence], problem: _Problem, path: IntArray) -> IntArray:
    """Return the places in the order in which they speak first, `[speakers]`."""
    never = evidence[-1].stop
    onsets = np.where(problem.matters, np.stack([each.onsets for each in evidence]), never)
    first = np.take_along_axis(onsets, problem.states[path], axis=1).min(axis=0)
    return np.asarray(np.argsort(first, kind="stable"))
