"""A bar for uploads: rich on a terminal, silence elsewhere. The only module that imports rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raystead.ui.plain import Reporter


@contextmanager
def upload_bar(reporter: Reporter) -> Iterator[Callable[[int, int], None]]:
    """Yields `advance(sent, total)`, both in bytes since the start."""
    if not reporter.tty or reporter.quiet:
        yield lambda sent, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("uploading"), BarColumn(), DownloadColumn(), console=Console(stderr=True), transient=True
    )
    task = bar.add_task("upload", total=None)

    def advance(sent: int, total: int) -> None:
        if not bar.live.is_started:
            bar.start()
        bar.update(task, completed=sent, total=total)

    try:
        yield advance
    finally:
        bar.stop()
