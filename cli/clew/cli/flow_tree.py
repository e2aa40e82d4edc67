"""What caused what, as rows: a flow's steps in tree order, with repetition folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from clew.cli.units import microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clew.reconstruct.detail import Step

ALIKE = 4
"""So many steps alike under one parent, or in a row, are still shown one by one."""
SHOWN = 3
"""Of more, this many stand for all."""
MOST_ROWS = 500
"""Rows of one flow unless all are asked for."""
NO_TROUBLE: frozenset[str] = frozenset()
RAILS = 64
GUESSED = frozenset({"time", "trace", "inferred"})
"""How a parent may be known without anything that names it."""


class Node:
    """A step, or (``step`` is None) the place of a parent that is named but not stored."""

    __slots__ = ("children", "ghost", "step", "trouble")

    def __init__(self, step: Step | None, ghost: str = "") -> None:
        self.step = step
        self.ghost = ghost
        self.children: list[Node] = []
        self.trouble = NO_TROUBLE
        """What is wrong with this step or with any below it."""

    @property
    def label(self) -> tuple[object, ...]:
        """What steps that are alike share."""
        step = self.step
        return (self.ghost,) if step is None else (step.service, step.kind, step.name, step.destination)


class Fold(NamedTuple):
    """Steps that are not drawn one by one."""

    steps: int
    """Of the label itself."""
    below: int
    """Steps below them, folded with them."""
    took: tuple[int, int, int] | None
    """Shortest, median and longest, in microseconds; None where none ended."""
    within: int | None
    """From the first start to the last end known, in microseconds."""
    waited: int | None
    """The longest queue wait in microseconds."""
    errors: int
    dead_letters: int
    open: int
    in_a_row: bool
    """Each was caused by the one before, instead of all by one."""
    parent_service: str | None


class Row(NamedTuple):
    """One row of the tree."""

    node: Node | None
    """None for a fold, or for the end of what is drawn."""
    fold: Fold | None
    rails: tuple[bool, ...]
    """For the nearest :data:`RAILS` levels between root and row: whether each goes on below this row."""
    depth: int
    """Causes above it."""
    last: bool
    """Nothing follows under the same parent."""
    parent: Step | None
    root: bool = False
    left: int = 0
    """Steps that are not drawn because the flow has too many rows."""


def roots(steps: Sequence[Step]) -> list[Node]:
    """The forest; steps under a parent that is not stored stand below that parent's place."""
    nodes = {step.id: Node(step) for step in steps}
    ghosts: dict[str, Node] = {}
    forest: list[Node] = []
    for step in steps:
        node = nodes[step.id]
        parent = nodes.get(step.parent) if step.parent is not None else None
        if parent is not None and parent is not node:
            parent.children.append(node)
        elif step.missing_parent:
            ghost = ghosts.get(step.missing_parent)
            if ghost is None:
                ghost = ghosts[step.missing_parent] = Node(None, ghost=step.missing_parent)
                forest.append(ghost)
            ghost.children.append(node)
        else:
            forest.append(node)
    for step in reversed(steps):
        node = nodes[step.id]
        node.trouble = _trouble(step).union(*{child.trouble for child in node.children})
    return forest


def _trouble(step: Step) -> frozenset[str]:
    if step.status != "error" and not (step.dead_letter or step.open or step.skew_us > 0):
        return NO_TROUBLE
    signs = {
        f"error {step.error_type}": step.status == "error",
        "dead letter": bool(step.dead_letter),
        "open": step.open,
        "skew": step.skew_us > 0,
    }
    return frozenset(sign for sign, holds in signs.items() if holds)


def rows(forest: Sequence[Node], *, everything: bool = False) -> Iterator[Row]:
    """The rows from top to bottom, without recursion: causes can be thousands of steps deep."""
    pending: list[Row] = []
    _push(pending, forest, above=None, parent=None, everything=everything)
    drawn = 0
    while pending:
        row = pending.pop()
        if drawn >= MOST_ROWS and not everything:
            yield Row(None, None, (), 0, last=True, parent=None, root=True, left=_left([row, *pending]))
            return
        drawn += 1
        if row.node is None:
            yield row
            continue
        yield row
        node, skipped = (row.node, None) if everything else _chain(row.node)
        if skipped is not None:
            rails = _rails_below(row)
            pending.append(Row(node, None, rails, row.depth + 1, last=True, parent=row.node.step))
            pending.append(Row(None, skipped, rails, row.depth + 1, last=False, parent=row.node.step))
            continue
        _push(pending, node.children, above=row, parent=node.step, everything=everything)


def _push(
    pending: list[Row], children: Sequence[Node], *, above: Row | None, parent: Step | None, everything: bool
) -> None:
    entries = list(children) if everything else _folded(children, parent)
    rails, depth = ((), 0) if above is None else (_rails_below(above), above.depth + 1)
    for place, entry in reversed(list(enumerate(entries))):
        node, fold = (None, entry) if isinstance(entry, Fold) else (entry, None)
        last = place == len(entries) - 1
        pending.append(Row(node, fold, rails, depth, last=last, parent=parent, root=above is None))


def _rails_below(row: Row) -> tuple[bool, ...]:
    return row.rails if row.root else (*row.rails, not row.last)[-RAILS:]


def _folded(children: Sequence[Node], parent: Step | None) -> list[Node | Fold]:
    """Children in order; of many alike a few stand for all: the first, the odd ones, a last retry."""
    if len(children) <= ALIKE:
        return list(children)
    groups: dict[tuple[object, ...], list[Node]] = {}
    for child in children:
        groups.setdefault(child.label, []).append(child)
    entries: list[Node | Fold] = []
    for group in groups.values():
        if len(group) <= ALIKE:
            entries.extend(group)
            continue
        shown = _standing_for(group)
        kept = {id(node) for node in shown}
        entries.extend(shown)
        entries.append(_fold([node for node in group if id(node) not in kept], parent, in_a_row=False))
    if len(groups) > 1:
        order = {id(child): place for place, child in enumerate(children)}
        return _in_order(entries, order)
    return entries


def _in_order(entries: list[Node | Fold], order: dict[int, int]) -> list[Node | Fold]:
    """Groups by their first member's place; each fold stays behind the steps it belongs to."""
    placed: list[tuple[tuple[int, int], Node | Fold]] = []
    place = 0
    for entry in entries:
        if isinstance(entry, Fold):
            placed.append(((place, 1), entry))
        else:
            place = order[id(entry)]
            placed.append(((place, 0), entry))
    placed.sort(key=lambda pair: pair[0])
    return [entry for _, entry in placed]


def _standing_for(group: list[Node]) -> list[Node]:
    shown = [group[0]]
    seen = {group[0].trouble}
    last = group[-1].step
    retried = last is not None and last.attempt > 1
    for node in group[1:]:
        if len(shown) >= SHOWN - retried:
            break
        if node.trouble and node.trouble not in seen:
            seen.add(node.trouble)
            shown.append(node)
    if retried and group[-1] is not shown[-1]:
        shown.append(group[-1])
    return shown


def _chain(node: Node) -> tuple[Node, Fold | None]:
    """Where a run of steps alike, each the only effect of the one before, ends; and its fold."""
    run = []
    at = node
    while len(at.children) == 1 and at.children[0].label == node.label and node.step is not None:
        at = at.children[0]
        run.append(at)
    if len(run) <= ALIKE:
        return node, None
    middle = [Node(one.step) for one in run[:-1]]
    return at, _fold(middle, node.step, in_a_row=True)


def _fold(nodes: list[Node], parent: Step | None, *, in_a_row: bool) -> Fold:
    steps = [node.step for node in nodes if node.step is not None]
    took = sorted(us for step in steps if (us := microseconds(step.start, step.end)) is not None)
    below = _below(nodes)
    everyone = [*steps, *below]
    waits = [step.queue_wait_us for step in everyone if step.queue_wait_us is not None]
    return Fold(
        steps=len(nodes),
        below=len(below),
        took=(took[0], took[len(took) // 2], took[-1]) if took else None,
        within=_within(everyone),
        waited=max(waits, default=None),
        errors=sum(step.status == "error" for step in everyone),
        dead_letters=sum(bool(step.dead_letter) for step in everyone),
        open=sum(step.open for step in everyone),
        in_a_row=in_a_row,
        parent_service=None if parent is None else parent.service,
    )


def _within(steps: list[Step]) -> int | None:
    starts = [step.start for step in steps if step.start is not None]
    ends = [step.end for step in steps if step.end is not None]
    return microseconds(min(starts), max(*starts, *ends)) if len(starts) > 1 else None


def _below(nodes: list[Node]) -> list[Step]:
    found: list[Step] = []
    pending = [child for node in nodes for child in node.children]
    while pending:
        node = pending.pop()
        if node.step is not None:
            found.append(node.step)
        pending.extend(node.children)
    return found


def _left(pending: list[Row]) -> int:
    left = 0
    for row in pending:
        if row.fold is not None:
            left += row.fold.steps + row.fold.below
        elif row.node is not None:
            left += (row.node.step is not None) + len(_below([row.node]))
    return left
