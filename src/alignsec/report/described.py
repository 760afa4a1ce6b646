"""What targets are: who attacked, in how many steps, on which images, and what to be careful about."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from alignsec.study.targets import MEAN, label, parts, source_of

if TYPE_CHECKING:
    from alignsec.study.layout import Layout

Sources = Mapping[str, Mapping[str, Any]]


def read(study: "Layout") -> dict[str, Any]:
    """The published sources of a study (`alignsec.robustness.published.described`), by name; none: empty."""
    if not study.sources.is_file():
        return {}
    found: dict[str, Any] = json.loads(study.sources.read_text(encoding="utf-8"))
    return found


def entry(target: str, sources: Sources) -> Mapping[str, Any]:
    """What the target's source says of it: `attack, steps, what, images, cautions`; empty where it is silent.

    A mean over epsilons is what the targets are that it is the mean of.
    """
    known: Mapping[str, Mapping[str, Any]] = sources.get(source_of(target) or "", {}).get("targets", {})
    if target in known:
        return known[target]
    said = parts(target)
    if said.setting == MEAN and said.measure.startswith("shift"):
        return {"what": "mean over shifted sets"} if known else {}
    return next((e for t, e in known.items() if parts(t)[:2] == said[:2]), {})


def about(target: str, sources: Sources, images: float | None = None) -> str:
    """A target in a phrase: attack, steps, images, source.

    Parameters
    ----------
    images : per model, of a target without a source; None: not known

    >>> made = {"a": {"title": "Bed", "targets": {"pgd_top1@1/255[a]": {"attack": "PGD", "steps": 100,
    ...         "what": "one start", "images": "5,000"}}}}
    >>> about("pgd_top1@1/255[a]", made)
    'PGD of 100 steps: one start; images: 5,000; Bed'
    >>> about("robust_top1@1/255", made, 64)
    "AutoAttack; images: 64; this study's own"
    """
    source = source_of(target)
    if source is None:
        attack = {"robust": "AutoAttack", "pgd": "PGD"}.get(parts(target).measure.partition("_")[0])
        counted = f"images: {images:.0f}" if images == images and images is not None else None
        return "; ".join(t for t in (attack, counted, "this study's own") if t)
    said = entry(target, sources)
    attack = said.get("attack")
    if attack and said.get("steps"):
        attack = f"{attack} of {said['steps']} steps"
    what = ": ".join(t for t in (attack, said.get("what")) if t)
    counted = f"images: {said['images']}" if said.get("images") else ""
    return "; ".join(t for t in (what, counted, sources.get(source, {}).get("title", source)) if t)


def cautions(target: str, sources: Sources) -> list[str]:
    """What the target's source warns of, about this target."""
    return list(entry(target, sources).get("cautions", ()))


def lines(targets: Iterable[str], sources: Sources, images: Mapping[str, float]) -> list[str]:
    """A sentence for every description, with the targets that it holds for, and one for every source.

    Parameters
    ----------
    images : of targets without a source, by target
    """
    every = list(targets)
    alike: dict[tuple[str, ...], list[str]] = {}
    for target in every:
        if source_of(target) is not None and not entry(target, sources):
            continue  # a table of the user's own names the source, and nothing says what it is
        alike.setdefault((about(target, sources, images.get(target)), *cautions(target, sources)), []).append(
            target
        )
    said = [
        f"{'; '.join(label(t) for t in mine)}: {what}." + "".join(f" {_sentence(w)}" for w in warned)
        for (what, *warned), mine in alike.items()
    ]
    for name in dict.fromkeys(s for t in every if (s := source_of(t)) in sources):
        about_it = sources[str(name)]
        named = "; ".join(str(about_it[k]) for k in ("title", "citation") if about_it.get(k))
        licence = f" Licence: {about_it['licence']}." if about_it.get("licence") else ""
        said.append(
            f"{name}: {_sentence(named)}{licence}"
            + "".join(f" {_sentence(w)}" for w in about_it.get("cautions", ()))
        )
    return said


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
