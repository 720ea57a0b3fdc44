"""What verbs that change a cluster share: the live view, and Ctrl-C that leaves a resumable state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from raystead.errors import INTERRUPTED
from raystead.ops.events import Event, Note
from raystead.ui.live import view
from raystead.ui.plain import Reporter

if TYPE_CHECKING:
    from raystead.kube.api import Api


class Emit:
    """Takes the events of a verb; callable, as ops want it."""

    def __init__(self, take: Callable[[Event], None]) -> None:
        self._take = take

    def __call__(self, event: Event) -> None:
        self._take(event)


@contextmanager
def follow(reporter: Reporter, api: Api, name: str, again: str | None = None) -> Iterator[Emit]:
    """The live view of one wait; an interrupt says what is true then and how to go on."""
    before = api.notice
    try:
        with view(reporter) as take:
            api.notice = lambda text: take(Note(text))
            yield Emit(take)
    except KeyboardInterrupt:
        from raystead.ops.typed import up_words

        reporter.line(
            f'interrupted; what was begun with "{name}" goes on: raystead status shows it, '
            f"{again or up_words(name)} waits again"
        )
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        api.notice = before
