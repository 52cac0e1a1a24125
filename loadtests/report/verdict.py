"""Says in a few lines of text how a run ended."""

from __future__ import annotations

from loadtests.report.measures import Unknown
from loadtests.report.summary import Judged, Summary
from loadtests.report.thresholds import Refused, threshold

SENTENCES = {
    "held": "Held: nothing was lost, repeated or swapped, and every threshold held.",
    "exceeded": "Exceeded: nothing was lost, repeated or swapped, but a threshold did not hold.",
    "void": "Void: the run broke a promise; its times do not count.",
}


def headline(summary: Summary) -> str:
    """The verdict as a sentence."""
    if summary.verdict == "held" and not summary.thresholds:
        return "Held: nothing was lost, repeated or swapped. No threshold was given."
    return SENTENCES[summary.verdict]


def broken(summary: Summary) -> list[str]:
    """Every promise that the run broke."""
    totals = summary.totals
    counted = (("lost", totals.lost), ("repeated", totals.duplicated), ("out of order", totals.reordered))
    return [f"{count:,} frames {word}" for word, count in counted if count] + summary.violations


def seen(summary: Summary, judged: Judged) -> str:
    """What a threshold met, in its own unit."""
    try:
        read = threshold(judged.text, summary.latencies, [one.name for one in summary.servers])
    except (Refused, Unknown):  # written by a run that had more names, or by hand
        return "not measured" if judged.value is None else f"{judged.value:,.6g}"
    return read.shown(judged.value)


def lines(summary: Summary) -> list[str]:
    """The run for a terminal."""
    totals = summary.totals
    told = [
        f"{summary.scenario}: {totals.frames:,} frames, {totals.connects:,} connects in {summary.seconds:,.1f} s; "
        f"lost {totals.lost}, repeated {totals.duplicated}, out of order {totals.reordered}, gaps {totals.gaps}, "
        f"errors {totals.errors}, refused {totals.refused}"
    ]
    for name, latency in summary.latencies.items():
        shown = ((word, getattr(latency, word.replace(".", "_"))) for word in ("p50", "p90", "p99", "p99.9", "max"))
        if latency.count:
            told.append(f"  {name:<12} " + "  ".join(f"{word} {value:.4g} ms" for word, value in shown))
    told += [f"  broken: {sentence}" for sentence in broken(summary)]
    told += [
        f"  {'held    ' if one.held else 'exceeded'} {one.text}  ({seen(summary, one)})" for one in summary.thresholds
    ]
    return [*told, headline(summary)]
