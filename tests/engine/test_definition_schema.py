"""The JSON Schema of definitions, by which editors complete and explain, says what the reader says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.engine import written_flows as flows
from tests.engine.cases import FIXTURES
from tests.engine.test_owed_properties import PATIENT

from clew.reconstruct.definition_file import Place, root
from clew.reconstruct.definition_reader import FLOW, GROUPS, OF_A_QUORUM, STEP, Reader
from clew.reconstruct.definitions import ENDS, SCHEMA
from clew.reconstruct.errors import DefinitionError

ROOT = FIXTURES.parent
TEXT = json.loads(SCHEMA.read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(TEXT)
BROKEN = FIXTURES / "definitions" / "broken"
GOOD = sorted(
    [*ROOT.glob("cli/clew/cli/demo/definitions.yaml"), *ROOT.glob("fixtures/cli/*/definitions.yaml")]
)

NOT_EVEN_YAML = {
    "bad-indentation",
    "control-character",
    "not-utf-8",
    "open-quote",
    "python-object",
    "tab",
    "two-documents",
}
BEYOND_A_SCHEMA = {
    # The loader follows, merges or overwrites these before a schema sees them.
    "alias",
    "merge-key",
    "one-type-twice",
    # These need a look at two places.
    "after-a-later-step",
    "after-an-end",
    "after-in-a-circle",
    "after-itself",
    "after-one-of-several",
    "after-two-branches",
    "after-two-branches-by-way-of-another",
    "after-unknown",
    "after-without-steps",
    "any-of-too-few",
    "branch-owes-nothing",
    "compensation-of-an-unknown-step",
    "end-that-repeats",
    "end-that-starts",
    "end-with-two-meanings",
    "event-of-two-steps",
    "limit-longer-than-the-whole",
    "of-with-an-undoing",
    "repeats-at-most-below-at-least",
    "start-is-a-step",
    "start-is-undone",
    "start-undoes",
    "step-after-an-end-of-several",
    "step-after-end",
    "step-after-end-of-every-branch",
    "step-owed-twice",
    "two-types-with-one-start",
    "undoing-of-its-own-other-name",
    "undoing-that-is-undone",
    "version-named-twice",
    # These are arithmetic.
    "limit-of-zero",
    "limit-too-long",
    "too-deep",
    "too-many-steps",
}


def valid(document: Any) -> bool:
    return bool(VALIDATOR.is_valid(document))


def reads(text: str) -> bool:
    place = Place("flows.yaml", text)
    try:
        Reader(place).definitions(root(place))
    except DefinitionError:
        return False
    return True


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(TEXT)


@pytest.mark.parametrize("path", GOOD, ids=[path.parent.name for path in GOOD])
def test_definitions_that_are_in_use_are_valid(path: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text("utf-8")))] == []


def test_definitions_of_the_examples_are_valid() -> None:
    documents = [
        document["flow"]
        for path in (FIXTURES / "definitions" / "owed").glob("*.yaml")
        for document in yaml.safe_load_all(path.read_text("utf-8"))
    ]
    assert len(documents) > 20
    assert [flow for flow in documents if not valid({"flows": {"flow": flow}})] == []


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_mistake_that_a_schema_can_know_is_told_by_it(path: Path) -> None:
    if path.stem in NOT_EVEN_YAML:
        with pytest.raises((yaml.YAMLError, UnicodeDecodeError)):
            yaml.safe_load(path.read_text("utf-8"))
        return
    found = valid(yaml.safe_load(path.read_text("utf-8")))
    assert found == (path.stem in BEYOND_A_SCHEMA)


def test_it_knows_the_entries_that_the_reader_knows() -> None:
    defined = TEXT["$defs"]
    assert set(defined["flow"]["properties"]) == FLOW
    assert set(defined["step"]["properties"]) == STEP
    assert set(defined["any"]["properties"]["of"]["items"]["anyOf"][1]["properties"]) == OF_A_QUORUM
    assert set(defined["flow"]["properties"]["ends"]["properties"]) == set(ENDS)
    groups = {key for name in set(GROUPS.values()) for key in defined[name]["properties"]}
    assert groups == set(GROUPS)


def test_every_entry_is_explained() -> None:
    lacking: list[str] = []

    def look(schema: Any, where: str) -> None:
        for name, entry in schema.get("properties", {}).items():
            target = TEXT["$defs"][entry["$ref"].rsplit("/", 1)[1]] if set(entry) == {"$ref"} else entry
            if "description" not in target:
                lacking.append(f"{where}.{name}")
            look(entry, f"{where}.{name}")
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                look(schema[key], where)

    for name, schema in TEXT["$defs"].items():
        look(schema, name)
    assert lacking == []


@PATIENT
@given(flows.flows())
def test_what_was_made_by_chance_is_valid(flow: dict[str, Any]) -> None:
    assert valid({"flows": {"flow": flow}})


WORDS = st.sampled_from(["Placed", "Paid", "Packed", "Done", "", " ", "5m", "2s", "0s", "x y", "true", "12"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 3), st.just(10**7), st.floats(0, 2), st.dates(), WORDS
)
ENTRIES = st.sampled_from(
    sorted(FLOW | STEP | set(GROUPS) | set(ENDS) | {"at_least", "at_most", "Paid", "limt"})
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ENTRIES, inner, max_size=4),
    max_leaves=12,
)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every list or mapping within, with an index or key of it."""
    inner = list(document.items() if isinstance(document, dict) else enumerate(document))
    here = [(document, key) for key, _ in inner]
    return here + [place for _, one in inner if isinstance(one, (dict, list)) for place in places(one)]


@PATIENT
@given(st.data())
def test_no_nonsense_is_read_that_the_schema_refuses_and_none_breaks_the_reader(data: st.DataObject) -> None:
    flow = data.draw(flows.flows()) | data.draw(
        st.sampled_from(
            [{}, {"ends": {"completed": ["Done"], "failed": "Paid"}, "compensations": {"Back": "E1"}}]
        )
    )
    document = {"flows": {"flow": flow}}
    for _ in range(data.draw(st.integers(1, 3))):
        holder, key = data.draw(st.sampled_from(places(document)))
        if isinstance(holder, dict) and data.draw(st.booleans()):
            key = data.draw(ENTRIES)
        holder[key] = data.draw(ANYTHING)
    read = reads(yaml.safe_dump(document))
    assert valid(document) or not read
