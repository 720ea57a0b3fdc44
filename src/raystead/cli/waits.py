"""What verbs that change a cluster share: the live view, and Ctrl-C that leaves a resumable state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from raystead.errors import INTERRUPTED
from raystead.ops.events import Note
from raystead.ui.live import View, view
from raystead.ui.plain import Reporter

if TYPE_CHECKING:
    from raystead.kube.api import Api


@contextmanager
def follow(reporter: Reporter, api: Api, name: str, again: str | None = None) -> Iterator[View]:
    """What takes the events of one wait; an interrupt says what is true then and how to go on."""
    before = api.notice
    try:
        with view(reporter) as take:
            api.notice = lambda text: take(Note(text))
            yield take
    except KeyboardInterrupt:
        from raystead.ops.typed import up_words

        reporter.line(
            f'interrupted; what was begun with "{name}" goes on: raystead status shows it, '
            f"{again or up_words(name)} waits again"
        )
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        api.notice = before
