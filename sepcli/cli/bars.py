"""What progress bars look like."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

BAR_COLUMNS = 50  # at least so many for what stands beside the description


class _AudioSpeed(ProgressColumn):
    """Seconds of audio done per second, as a factor of real time."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f}x real time" if speed else "")


def bars_on(screen: Console, unit: str) -> Progress:
    """Return bars over seconds of audio (`unit="audio"`), bytes, or items; not started yet."""
    most = max(BAR_COLUMNS // 2, screen.width - BAR_COLUMNS)
    column = Column(no_wrap=True, overflow="ellipsis", max_width=most)
    described = TextColumn("{task.description}", markup=False, table_column=column)
    columns: list[ProgressColumn] = [described, BarColumn(bar_width=None)]
    if unit == "bytes":
        columns += [DownloadColumn(), TransferSpeedColumn()]
    else:
        columns += [TextColumn("{task.percentage:>3.0f}%")]
        columns += [_AudioSpeed(Column(no_wrap=True))] if unit == "audio" else []
    columns += [TimeRemainingColumn()]
    return Progress(*columns, console=screen, transient=True)
