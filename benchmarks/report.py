"""Writes what was measured to results.json, results.md and chart.svg, and to the terminal."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import machine, systems

RESULTS = machine.HERE / "results"


@dataclass(frozen=True)
class Bar:
    """A promise with a number in it."""

    what: str
    measured: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def passed(self) -> bool:
        return (self.at_least is None or self.measured >= self.at_least) and (
            self.at_most is None or self.measured <= self.at_most
        )

    def __str__(self) -> str:
        limit = f"at least {self.at_least:g}" if self.at_most is None else f"at most {self.at_most:g}"
        return f"{self.what}: {self.measured:.2f} ({limit})"


@dataclass
class Section:
    """The outcome of one command."""

    title: str
    about: str
    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        lines = [
            f"## {self.title}",
            "",
            self.about,
            "",
            "| " + " | ".join(self.head) + " |",
            "|---" * len(self.head) + "|",
        ]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        if self.bars:
            verdicts = (f"{'PASS' if bar.passed else 'FAIL'}  {bar}" for bar in self.bars)
            lines += ["", "```", *verdicts, "```"]
        return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def publish(command: str, section: Section) -> None:
    """Print the section, and put it in the place of its command's last one in results.json and results.md."""
    RESULTS.mkdir(exist_ok=True)
    store = RESULTS / "results.json"
    sections = json.loads(store.read_text()) if store.exists() else {}
    text = section.markdown()
    sections[command] = {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "environment": systems.describe(),
        "markdown": text,
        **asdict(section),
    }
    store.write_text(json.dumps(sections, indent=1) + "\n")
    (RESULTS / "results.md").write_text("\n".join(page(sections)) + "\n")
    print(f"\n{text}\n", flush=True)


def page(sections: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The lines of results.md: the bars that were missed and what it was measured on, then the sections."""
    bars = [(command, Bar(**bar)) for command, content in sections.items() for bar in content["bars"]]
    missed = [f"- `{command}`: {bar}" for command, bar in bars if not bar.passed]
    yield from ("# Results", "", "Written by `python -m benchmarks`; ../README.md says how to read it.", "")
    yield from (f"Bars missed: {len(missed)} of {len(bars)}", "", *missed, "")
    environments: dict[str, list[str]] = {}
    for command, content in sections.items():
        environments.setdefault("\n".join(content["environment"]), []).append(f"`{command}`")
    for lines, commands in environments.items():
        yield from (f"{', '.join(commands)} ran on:", "", lines, "")
    yield "![Requests a second](chart.svg)"
    for command, content in sections.items():
        yield from ("", content["markdown"], "", f"`python -m benchmarks {command}`, {content['measured']}")


def chart(rates: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Draw a panel for each workload: for each system a bar as long as its median rate, and a line from its worst round to its best."""
    width, line, left, right = 400, 20, 190, 60
    panel = 34 + line * max(map(len, rates.values()))
    columns = 2
    height = 40 + panel * -(-len(rates) // columns)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width * columns} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width * columns}" height="{height}" fill="#fff"/>',
        '<text x="10" y="22" font-size="14" font-weight="bold">Requests a second on one core, 16 connections; more is better</text>',
    ]
    for number, (workload, measured) in enumerate(rates.items()):
        x, y = number % columns * width, 40 + number // columns * panel
        scale = (width - left - right) / max(max(values) for values in measured.values())
        out.append(f'<text x="{x + 10}" y="{y + 14}" font-weight="bold">{escape(workload)}</text>')
        for place, (system, values) in enumerate(measured.items()):
            top, length = y + 22 + place * line, median(values) * scale
            low, high = (x + left + value * scale for value in (min(values), max(values)))
            colour = "#0b6e4f" if place == 0 else "#9aa5b1"
            out += [
                f'<text x="{x + left - 6}" y="{top + 11}" text-anchor="end">{escape(system)}</text>',
                f'<rect x="{x + left}" y="{top}" width="{length:.1f}" height="14" fill="{colour}"/>',
                f'<path d="M{low:.1f} {top + 7}H{high:.1f}" stroke="#1f2933"/>',
                f'<text x="{high + 5:.1f}" y="{top + 11}">{median(values):,.0f}</text>',
            ]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*out, "</svg>\n"]))
