"""The documentation says what the code says: commands, options, exit statuses, variables, JSON fields."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from clew.cli.commands import define
from clew.cli.exits import Exit
from clew.cli.main import COMMANDS, clew
from clew.reconstruct.answers import Change as GroupChange
from clew.reconstruct.answers import Continuation, FlowGroup, KeyReport, SourceStatus, StoredReject
from clew.reconstruct.causes import REFINES, RULES, Action, Cause, Clue
from clew.reconstruct.detail import Step
from clew.reconstruct.learned import Asked, LearnedEnd, LearnedStep, LearnedType, Model
from clew.reconstruct.model import Flow, Summary
from clew.reconstruct.reports import (
    Change,
    Deviation,
    Fitness,
    Misfit,
    Side,
    Spread,
    StepReport,
    TypeReport,
    Variant,
    VariantStep,
)
from clew.reconstruct.running import RunningProcess, RunningSource

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
HELP_WIDTH = 96
BLOCK = re.compile(r"<!-- help: ([a-z ]+) -->\n(.*?)<!-- end -->", re.DOTALL)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and sub-command by the words that call it."""
    top = click.Context(clew, info_name="clew")
    for entry in COMMANDS:
        command = clew.get_command(top, entry.name)
        assert command is not None
        yield entry.name, command
        if isinstance(command, click.Group):
            for name, sub in command.commands.items():
                yield f"{entry.name} {name}", sub


def help_of(words: str) -> str:
    command: click.Command | None = clew
    context = click.Context(clew, info_name="clew", **clew.context_settings)
    for word in words.split():
        assert isinstance(command, click.Group)
        command = command.get_command(context, word)
        assert command is not None
        context = click.Context(command, info_name=word, parent=context)
    formatter = click.HelpFormatter(width=HELP_WIDTH)
    context.command.format_help(context, formatter)
    return formatter.getvalue().rstrip("\n")


def test_the_help_of_every_command_stands_in_the_page_as_it_is_now() -> None:
    page = PAGE.read_text(encoding="utf-8")
    helps = {words: f"\n```text\n{help_of(words)}\n```\n\n" for words, _ in commands()}

    def current(match: re.Match[str]) -> str:
        return f"<!-- help: {match[1]} -->\n{helps[match[1]]}<!-- end -->"

    wanted = BLOCK.sub(current, page)
    if os.environ.get("CLEW_UPDATE_GOLDEN"):
        PAGE.write_text(wanted, encoding="utf-8")
        page = wanted
    assert sorted(match[1] for match in BLOCK.finditer(page)) == sorted(helps)
    assert page == wanted, "run CLEW_UPDATE_GOLDEN=1 pytest tests/test_docs.py"


def test_the_table_of_commands_and_the_commands_agree() -> None:
    assert {
        entry.name: command.name for entry in COMMANDS for words, command in commands() if words == entry.name
    } == {entry.name: entry.name for entry in COMMANDS}
    page = PAGE.read_text(encoding="utf-8")
    assert [entry.name for entry in COMMANDS if f"\n## clew {entry.name}\n" not in page] == []


@pytest.mark.parametrize("status", list(Exit))
def test_every_exit_status_is_documented(status: Exit) -> None:
    assert f"\n| {status.value} | " in PAGE.read_text(encoding="utf-8")


def test_every_option_names_its_variable_in_its_help_and_the_page_has_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    lacking = []
    for words, command in commands():
        for parameter in command.params:
            if not isinstance(parameter, click.Option):
                continue
            variable = parameter.envvar
            named = isinstance(variable, str) and variable.startswith("CLEW_") and parameter.show_envvar
            if not (named and parameter.help and str(variable) in page):
                lacking.append(f"clew {words} {parameter.opts[0]}")
    assert lacking == []


def test_variables_that_several_commands_share_stand_in_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shared: dict[str, set[str]] = {}
    for words, command in commands():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                shared.setdefault(str(parameter.envvar), set()).add(words.split()[0])
    lacking = [
        name
        for name, users in shared.items()
        if len(users - {"stuck", "failed", "dead"}) > 1
        and f"| `{name}` |" not in page
        and "INGEST" not in name
    ]
    assert lacking == []


def test_every_environment_variable_that_the_code_reads_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    root = PAGE.parents[1]
    read = re.compile(r"""environ(?:\.get\(|\[)["'](\w+)["']""")
    found = {
        name
        for path in root.glob("cli/clew/**/*.py")
        for name in read.findall(path.read_text(encoding="utf-8"))
    }
    assert sorted(name for name in found if f"`{name}`" not in page and not name.startswith("_")) == []


@pytest.mark.parametrize(
    ("heading", "model", "renamed"),
    [
        ("clew flows", Flow, {}),
        ("clew flows", FlowGroup, {}),
        ("clew flows", GroupChange, {}),
        ("clew why", Clue, {}),
        ("clew why", Action, {}),
        ("clew why", Cause, {"name": "cause"}),
        ("clew show", Step, {}),
        ("clew show", Continuation, {}),
        ("clew sources", SourceStatus, {}),
        ("clew sources", StoredReject, {}),
        ("clew sources", RunningSource, {}),
        (
            "clew sources",
            RunningProcess,
            {"error": "store_error", "error_time": "store_error_time", "sources": "name"},
        ),
        ("clew keys", KeyReport, {"key_class": "class"}),
        ("clew rebuild", Summary, {}),
        ("clew types", TypeReport, {}),
        ("clew types", Spread, {}),
        ("clew variants", Variant, {}),
        ("clew variants", VariantStep, {}),
        ("clew steps", StepReport, {}),
        ("clew steps", Spread, {}),
        ("clew compare", Change, {}),
        ("clew define", Fitness, {}),
        ("clew define", Deviation, {}),
        ("clew compare", Side, {}),
        ("clew learn", Asked, {}),
        ("clew learn", LearnedType, {}),
        ("clew learn", LearnedStep, {}),
        ("clew learn", LearnedEnd, {}),
        ("clew learn", Model, {"number": "model", "current": "in_use"}),
    ],
)
def test_every_field_of_the_json_is_documented_with_its_command(
    heading: str, model: type, renamed: dict[str, str]
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    names = [renamed.get(one.name, one.name) for one in dataclasses.fields(model)]
    assert [name for name in names if f"`{name}`" not in section] == []


def test_every_kind_of_deviation_is_documented_and_may_be_ignored() -> None:
    section = PAGE.read_text(encoding="utf-8").split("\n### clew define check\n")[1].split("\n### ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [kind.value for kind in Misfit]
    assert list(define.KINDS) == [kind.value for kind in Misfit]


def test_every_cause_stands_in_the_page_in_the_order_of_its_rank_with_what_it_refines() -> None:
    section = PAGE.read_text(encoding="utf-8").split("\n## clew why\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| .* \|(.*)\|$", section, re.MULTILINE)
    told = {name: refines for name, refines in rows if name in {rule.name for rule in RULES}}
    assert list(told) == [rule.name for rule in RULES]
    for name, refines in told.items():
        if not refines.strip().startswith("the same"):
            stored = {one for one, refined in REFINES.items() if name in refined and one != name}
            assert set(re.findall(r"`(\w+)`", refines)) == stored, name
