"""``clew why`` fits the terminal, and what it quotes is data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from clew.cli.look import Look, cells
from clew.cli.why_view import why_view
from clew.reconstruct.causes import Action, Cause, Clue
from clew.reconstruct.causes.why import Why

if TYPE_CHECKING:
    from collections.abc import Callable

    from clew.reconstruct.detail import FlowDetail


@pytest.fixture
def told(detail: Callable[[str], FlowDetail]) -> Why:
    found = detail("order-stuck")
    clues = tuple(
        Clue(f"attempt {number} failed\x1b[2J with {'a long error ' * 9}", found.flow.last, "payment", "logs/" + "p" * 90, number)
        for number in range(1, 9)
    )  # fmt: skip
    causes = (
        Cause("never_consumed", "it was\x1b[31m sent", clues, (Action("draw it", ("show", "a b", "--logs")),), explains=True),
        Cause("never_published", "and so nothing came", (Clue("nothing"),), (Action("look", ("lag", "x")), Action("call them"))),
    )  # fmt: skip
    return Why(found, "a sentence\x1b[2J of " + "words " * 40, causes)


def lines(told: Why, look: Look, commands: set[str], *, everything: bool = False) -> list[str]:
    return [line.plain for line in why_view(told, look, commands, everything=everything)]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [40, 61, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_none_holds_a_control(
    width: int, encoding: str, told: Why
) -> None:
    drawn = lines(told, Look(width, encoding), {"show", "lag"}, everything=True)
    assert [line for line in drawn if cells(line) > width or "\x1b" in line] == []


def test_the_last_clues_of_many_are_shown_and_the_others_counted(told: Why) -> None:
    drawn = lines(told, Look(200), {"show"})
    assert sum("attempt" in line for line in drawn) == 5
    assert "    3 more before; --all shows them" in drawn
    assert sum("attempt" in line for line in lines(told, Look(200), {"show"}, everything=True)) == 8


def test_only_commands_that_exist_are_suggested_with_words_quoted(told: Why) -> None:
    drawn = lines(told, Look(80), {"show"})
    assert "  clew show 'a b' --logs" in drawn
    besides = replace(told, causes=tuple(replace(cause, explains=False) for cause in told.causes))
    assert "  clew lag x" not in lines(besides, Look(80), {"show"})
    assert "  clew lag x" in lines(besides, Look(80), {"show", "lag"})
    assert "  call them" in lines(besides, Look(80), {"show"})


def test_what_explains_stands_before_what_holds_besides(told: Why) -> None:
    drawn = lines(told, Look(80), {"show"})
    assert drawn.index("because:") < drawn.index("  never_consumed") < drawn.index("besides:")
    assert drawn.index("besides:") < drawn.index("  never_published: and so nothing came")
