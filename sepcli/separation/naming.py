"""What outputs are called: the template of `--name`, filled in and recognised again."""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from sepcli.errors import UsageError

DEFAULT_NAME = "{stem}_spk{speaker}"
CHANNELS_NAME = "{stem}_speakers"  # of one file for all; never that of the recording
_TEXT = "(?:[^{}]|{{|}})*"  # of a template, between its fields
_FIELDS = {"stem": ".+", "ext": "[^.]*", "speaker": "[0-9]+", "model": ".*"}


def unknown_name(number: int) -> str:
    """Return what a speaker of nobody's known voice is called, by number from 1."""
    return f"spk{number}"


@dataclass(frozen=True, kw_only=True)
class Naming:
    """How outputs are named.

    Attributes:
        folder: Where outputs go.
        extension: Their ending, without the dot.
        template: File name without ending; may use `{stem}`, `{ext}`, `{speaker}`, `{model}`.
            Without `{speaker}` there is one file for all.
        model: Name of the model, for the template.
        num_speakers: Speakers per recording, at most.
        is_counted: Whether speakers are counted, so that only the first is certain.
        labels: Endings of files that say who speaks when.
        segments: Folder of utterances; None where none are cut out.
        names: People that files may be called after.
        only: The one of them whose file alone is wanted; None for everybody's.
    """

    folder: Path
    extension: str
    template: str = DEFAULT_NAME
    model: str = ""
    num_speakers: int = 2
    is_counted: bool = False
    labels: tuple[str, ...] = ()
    segments: Path | None = None
    names: tuple[str, ...] = ()
    only: str | None = None

    def paths(self, source: Path | None, inside: Path, part: str = "") -> tuple[Path, ...]:
        """Return the outputs of `source`, in the sub-folder `inside` of the output folder.

        Args:
            source: The recording; None for standard input.
            inside: Sub-folder.
            part: Put after the stem, where only a part of the recording is separated.
        """
        num_files = self.num_speakers if "speaker" in _fields(self.template) else 1
        numbers = range(1, num_files + 1)
        return tuple(self._path(self.template, source, inside, part, each) for each in numbers)

    def certain_and_optional(
        self, source: Path | None, inside: Path, part: str = ""
    ) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
        """Return the `paths` that there will be, and those of speakers there may be besides."""
        if self.only is not None:
            return (), ()
        paths = self.paths(source, inside, part)
        num_certain = 1 if self.is_counted else len(paths)
        return paths[:num_certain], paths[num_certain:]

    def following_path(self, source: Path | None, inside: Path, part: str = "") -> Path | None:
        """Return what one more speaker's output would be called; None where more may be found."""
        if self.is_counted or self.only is not None or "speaker" not in _fields(self.template):
            return None
        return self._path(self.template, source, inside, part, self.num_speakers + 1)

    def named_paths(
        self, source: Path | None, inside: Path, part: str = ""
    ) -> tuple[tuple[str, Path], ...]:
        """Return the outputs of people who may be recognised, each with its person's name.

        A template without a field for the speaker has one file: the person's in `only`, if any.
        """
        has_one_file = "speaker" not in _fields(self.template)
        everybody = () if has_one_file else self.names
        template = _of_names(self.template)
        return tuple(
            (name, self._path(template, source, inside, part, name))
            for name in (everybody if self.only is None else (self.only,))
        )

    def label_paths(self, source: Path | None, inside: Path) -> tuple[Path, ...]:
        """Return where it is said who speaks when in `source`: named as outputs, for all speakers.

        So they are told apart by what tells outputs apart.
        """
        name = self._filled_in(_without_speaker(self.template), source)
        return tuple(self.folder / inside / f"{name}{ending}" for ending in self.labels)

    def segment_folder(self, source: Path | None, inside: Path, part: str = "") -> Path | None:
        """Return the folder of the utterances of `source`, named as labels are."""
        if self.segments is None:
            return None
        return (
            self.segments / inside / self._filled_in(_without_speaker(self.template), source, part)
        )

    def _path(
        self, template: str, source: Path | None, inside: Path, part: str, speaker: int | str
    ) -> Path:
        name = self._filled_in(template, source, part, speaker)
        return self.folder / inside / f"{name}.{self.extension}"

    def _filled_in(
        self, template: str, source: Path | None, part: str = "", speaker: int | str | None = None
    ) -> str:
        stem = ("stdin" if source is None else source.stem) + part
        ext = "wav" if source is None else source.suffix.lstrip(".")
        return template.format(stem=stem, ext=ext, speaker=speaker, model=self.model)

    def stems_behind(self, name: str) -> set[str]:
        """Return the stems of recordings whose output, of any speaker and model, `name` may be.

        Templates without a letter of their own tell too little: `a_1` need not be one of `a`.

        Args:
            name: Of a file, without its ending.
        """
        matches = [pattern.fullmatch(name) for pattern in self._patterns]
        return {match["stem"] for match in matches if match}

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        """Of the names of outputs that tell the stem of their recording."""
        telling = [
            _pattern(template)
            for template in (self.template, DEFAULT_NAME, CHANNELS_NAME)
            if re.search("[^\\W\\d_]", _literal(template))
        ]
        if self.names:
            names = "|".join(map(re.escape, self.names))
            telling += [_pattern(_of_names(t), names) for t in (self.template, DEFAULT_NAME)]
        compiled = map(re.compile, dict.fromkeys(telling))
        return tuple(pattern for pattern in compiled if "stem" in pattern.groupindex)


def segment_stem(speaker: str, number: int) -> str:
    """Return the name of a segment's file, without its ending."""
    return f"{speaker}_{number:04d}"


def is_segment_stem(stem: str, speakers: str = ".+") -> bool:
    """Return whether a file may be a segment of some run.

    Args:
        stem: Its name, without the ending.
        speakers: Pattern of what its speakers are called; without it, whatever the run knew.
    """
    return re.fullmatch(f"(?s)({speakers})_[0-9]{{4,}}", stem) is not None


def check_template(template: str, *, is_one_file: bool = False) -> None:
    """Raise `UsageError` unless `template` names a file of its own for every speaker, or one.

    Fields stand alone: with formats or conversions, which `str.format` knows, two speakers could
    get one name.
    """
    hint = "use {stem}, {ext}, {model} and {speaker}, as in --name '{stem}_spk{speaker}'"
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as cause:
        raise UsageError(f"name template is malformed: {template}", hint) from cause
    fields = [field for _, field, _, _ in parts if field is not None]
    if unknown := set(fields) - set(_FIELDS):
        raise UsageError(f"unknown field in the name template: {min(unknown)}", hint)
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise UsageError(f"name template is malformed: {template}", hint)
    if is_one_file and "speaker" in fields:
        raise UsageError(
            f"name template has a {{speaker}}, and --layout channels one file for all: {template}",
            f"leave it out, as in --name '{CHANNELS_NAME}'",
        )
    if not is_one_file and "speaker" not in fields:
        raise UsageError(f"name template has no {{speaker}}: {template}", hint)
    if "/" in template or "\\" in template or "\0" in template:
        raise UsageError(f"name template has a folder in it: {template}", "use --output-dir")


@cache
def _fields(template: str) -> set[str]:
    """Return the fields of a template."""
    return {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}


def check_speaker_names(template: str, names: Sequence[str]) -> None:
    """Raise `UsageError` if a person's file would be called as one of somebody unknown."""
    for name in names:
        prefix = re.search("([^\\W\\d_]*){speaker}", template)
        if re.fullmatch(f"(?i:{prefix[1] if prefix else ''})?[0-9]+", name):
            raise UsageError(
                f"name is that of an unknown speaker's file: {name}", "call the voice otherwise"
            )


def _of_names(template: str) -> str:
    """Return the template of people with names: without letters before `{speaker}`, as in spk."""
    return re.sub("[^\\W\\d_]*{speaker}", "{speaker}", template)


def _literal(template: str) -> str:
    """Return what all names that a template gives have in common."""
    return "".join(text for text, _, _, _ in string.Formatter().parse(template))


def _without_speaker(template: str) -> str:
    """Return a template without `{speaker}` and the text before it; a first one, around it.

    Where that leaves nothing, and where there is one file for all, names are stems.
    """
    if template == CHANNELS_NAME:
        return "{stem}"
    template = re.sub(f"^{_TEXT}{{speaker}}{_TEXT}", "", template)
    return re.sub(f"{_TEXT}{{speaker}}", "", template) or "{stem}"


def _pattern(template: str, speakers: str = _FIELDS["speaker"]) -> str:
    """Return a regular expression of the names that a template gives, for such speakers."""
    fields = _FIELDS | {"speaker": speakers}
    pattern, seen = "", set()
    for text, field, _, _ in string.Formatter().parse(template):
        pattern += re.escape(text)
        if field is not None:
            pattern += f"(?P={field})" if field in seen else f"(?P<{field}>{fields[field]})"
            seen.add(field)
    return pattern
