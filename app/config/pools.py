"""The grammar of pools: a list of deployments, tried in order, or a mapping that says how to choose among its members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from app.config.sections import refuse_reserved
from app.config.specs import MemberSpec, PoolSpec
from app.config.yaml_tree import Table
from app.domain_routing import Choice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.config.reading import Reader
    from app.config.specs import DeploymentSpec
    from app.config.yaml_tree import Node

_KEYS: Final = ("members", "choose", "sticky", "experiment", "hedge")
_MEMBER_KEYS: Final = ("use", "weight", "share", "arm")
_WHOLE: Final = 1.0
_ROUNDING: Final = 1e-9


def read_pools(reader: Reader, node: Node | None, deployments: Mapping[str, DeploymentSpec]) -> dict[str, PoolSpec]:
    """Return the pools by name."""
    pools = {}
    for name, (line, value) in (reader.table(node, "pools") if node is not None else {}).items():
        if not reader.is_name(name, line, "a pool's name"):
            continue
        refuse_reserved(reader, name, line)
        if name in deployments:
            reader.fault(line, f'"{name}" is the deployment of line {deployments[name].line}; give the pool another name')
        pools[name] = _read_pool(reader, name, line, value)
    return pools


def _read_pool(reader: Reader, name: str, line: int, node: Node) -> PoolSpec:
    if not isinstance(node, Table):
        return PoolSpec(name, line, _read_members(reader, name, line, node))
    entries = reader.table(node, f"the pool {name}", _KEYS)
    if "members" not in entries:
        reader.fault(line, f"the pool {name} needs `members`: the deployments in it, such as `members: [gpt-4o-mini]`")
        return PoolSpec(name, line, ())
    members = _read_members(reader, name, *entries["members"])
    values: dict[str, Any] = {
        "choose": reader.choice(entries["choose"][1], "choose", Choice) if "choose" in entries else None,
        "sticky": reader.boolean(entries["sticky"][1], "sticky") if "sticky" in entries else None,
        "hedge": reader.boolean(entries["hedge"][1], "hedge") if "hedge" in entries else None,
        "experiment": reader.name(entries["experiment"][1], "experiment") if "experiment" in entries else None,
    }
    experiment = values["experiment"] or ""
    choose = values["choose"] or (Choice.WEIGHTED if experiment or any(member.weight is not None for member in members) else Choice.ORDERED)
    sticky = bool(experiment) if values["sticky"] is None else values["sticky"]
    pool = PoolSpec(name, line, members, choose, sticky, experiment, bool(values["hedge"]))
    _check_members(reader, pool, entries)
    return pool


def _read_members(reader: Reader, pool: str, line: int, node: Node) -> tuple[MemberSpec, ...]:
    items = reader.sequence(node, f"the pool {pool}")
    if not items:
        reader.fault(line, f"the pool {pool} is empty; name at least one deployment, or leave the pool out")
    members: dict[str, MemberSpec] = {}
    for item in items:
        member = _read_member(reader, pool, item)
        if member is None:
            continue
        if member.name in members:
            reader.fault(item.line, f'"{member.name}" stands twice in the pool {pool}; leave one out')
        members.setdefault(member.name, member)
    return tuple(members.values())


def _read_member(reader: Reader, pool: str, node: Node) -> MemberSpec | None:
    what = f"a member of the pool {pool}"
    if not isinstance(node, Table):
        name = reader.name(node, what)
        return None if name is None else MemberSpec(name, node.line)
    entries = reader.table(node, what, _MEMBER_KEYS)
    if "use" not in entries:
        reader.fault(node.line, f"{what} needs `use`: the name of a deployment")
        return None
    name = reader.name(entries["use"][1], what)
    weight = reader.number(entries["weight"][1], "weight") if "weight" in entries else None
    share = _read_share(reader, entries["share"][1]) if "share" in entries else None
    arm = reader.name(entries["arm"][1], "arm") if "arm" in entries else None
    if weight is not None and share is not None:
        reader.fault(node.line, f"{what} has both weight and share; write `share` for a part of all requests, or `weight` to divide the rest")
    return None if name is None else MemberSpec(name, node.line, weight, share, arm or "")


def _read_share(reader: Reader, node: Node) -> float | None:
    """Read a share of all requests: 5%, or 0.05."""
    text = reader.text(node, "share")
    if text is None:
        return None
    try:
        share = float(text.removesuffix("%").strip()) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if 0 < share <= _WHOLE:
        return share
    reader.fault(node.line, "share must be more than 0% and at most 100%, such as 5%")
    return None


def _check_members(reader: Reader, pool: PoolSpec, entries: Mapping[str, tuple[int, Node]]) -> None:
    """Refuse what contradicts itself: a pool whose words have no effect, or cannot all be kept."""
    shares = [member.share for member in pool.members if member.share is not None]
    rest = [member for member in pool.members if member.share is None]
    if shares and rest and sum(shares) > _WHOLE - _ROUNDING:
        reader.fault(pool.line, f"the shares of the pool {pool.name} leave nothing to its other members; write less, or give each a share")
    elif shares and not rest and abs(sum(shares) - _WHOLE) > _ROUNDING:
        reader.fault(pool.line, f"the shares of the pool {pool.name} come to {sum(shares):.4g}; write 100% in all, or leave one out")
    weighted = [member for member in rest if member.weight is not None]
    if weighted and pool.choose is not Choice.WEIGHTED:
        reader.fault(weighted[0].line, f"weight has no effect where the pool {pool.name} chooses {pool.choose}; write `choose: weighted`, or leave it out")
    if rest and all(member.weight == 0 for member in rest):
        reader.fault(pool.line, f"every weight of the pool {pool.name} is 0; give one member more")
    if pool.sticky and pool.choose is Choice.ORDERED and not shares:
        reader.fault(entries["sticky"][0], f"sticky has no effect where the pool {pool.name} is tried in order; leave it out, or write `choose`")
    if pool.hedge and len(pool.members) < 2:
        reader.fault(entries["hedge"][0], f"hedge has no effect in the pool {pool.name} of one deployment; name another, or leave it out")
    _check_arms(reader, pool, entries)


def _check_arms(reader: Reader, pool: PoolSpec, entries: Mapping[str, tuple[int, Node]]) -> None:
    if not pool.experiment:
        for member in pool.members:
            if member.arm:
                reader.fault(member.line, f"arm has no effect in the pool {pool.name}, which has no `experiment`; name the experiment, or leave it out")
        return
    for member in pool.members:
        if not member.arm:
            reader.fault(member.line, f"{member.name} needs `arm`: its side of the experiment {pool.experiment}")
    if len({member.arm for member in pool.members}) < 2:
        reader.fault(pool.line, f"the experiment {pool.experiment} has one arm; write at least two")
    if pool.choose is not Choice.WEIGHTED:
        reader.fault(entries["choose"][0], "an experiment draws its arms by weight or share; leave `choose` out")
