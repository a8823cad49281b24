"""Voice embeddings: what a stretch of speech tells about who speaks, as a vector of length one.

`builtin` is a small network of ours inside the package; `ecapa` is a published one, far larger and
better, whose weights come from the hub; `voices` finds either by the name that `--voices` takes.
"""

from sepcli.separation.speakers.embedding.voices import BUILTIN, MIN_LIKENESS, VOICES, load_embed

__all__ = ["BUILTIN", "MIN_LIKENESS", "VOICES", "load_embed"]
