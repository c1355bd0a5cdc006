"""What was found about a claim, and how it is written down."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmark import Setting, describe_machine
from matplotlib.figure import Figure

from mmvovnet.analysis.summary import markdown_table
from mmvovnet.fileio import write

VERDICTS = {True: 'holds', False: 'fails', None: 'inconclusive'}
PACKAGES = ('mmvovnet', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')


@dataclass
class Finding:
    """One thing that is claimed, and what was found.

    Attributes:
        claim (str): What is claimed.
        paper (str): The paper's figure.
        here (str): Ours, or what would be needed to get one.
        holds (bool | None): Whether the claim holds here; None where the
            figures do not tell, or there are none.
    """

    claim: str
    paper: str
    here: str
    holds: bool | None


@dataclass
class Result:
    """What was found about a claim.

    Attributes:
        title (str): Title.
        findings (list[Finding]): The verdict, in parts.
        rows (list[dict]): The table: each row is a value by column.
        draw (Callable | None): Draws the picture into an empty figure; None
            where there is nothing to see.
        setting (Setting): Device, precision, batch and size.
        seeds (Sequence[int]): Seeds; none where nothing is random.
        notes (Sequence[str]): Paragraphs that a reader of the table needs.
        details (list[dict]): A longer table, for the CSV only.

    Example:
        >>> parts = [Finding('more', '> 1', '2', True),
        ...          Finding('less', '< 1', '2', False)]
        >>> Result('Two', parts, [], lambda figure: None).verdict
        'fails'
    """

    title: str
    findings: list[Finding]
    rows: list[dict[str, Any]]
    draw: Callable[[Figure], None] | None
    setting: Setting = field(default_factory=Setting)
    seeds: Sequence[int] = ()
    notes: Sequence[str] = ()
    details: list[dict[str, Any]] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """'holds', 'fails' or 'inconclusive': that of the worst finding."""
        parts = {finding.holds for finding in self.findings}
        worst = next(part for part in (False, None, True) if part in parts)
        return VERDICTS[worst]

    def origin(self, command: str) -> dict[str, str]:
        """Tell what the figures hold for and how to get them again."""
        return {
            'Machine': describe_machine(self.setting),
            'Versions': ', '.join(filter(None, map(_version, PACKAGES))),
            'Seeds': ', '.join(map(str, self.seeds)) or 'nothing is random',
            'Command': command,
        }

    def markdown(self, command: str, picture: str) -> str:
        """Write the result as Markdown.

        Args:
            command (str): What made it.
            picture (str): Path of the picture, from the Markdown file.
        """
        findings = [
            {
                'claim': finding.claim,
                'paper': finding.paper,
                'here': finding.here,
                'verdict': VERDICTS[finding.holds],
            }
            for finding in self.findings
        ]
        origin = self.origin(command)
        origin['Command'] = f'`{command}`'
        verdict = f'**{self.title}: {self.verdict}.**'
        if self.verdict != VERDICTS[True]:
            held = sum(finding.holds is True for finding in self.findings)
            verdict += f' Of its {len(findings)} parts, {held} hold.'
        parts = [
            '\n'.join(f'- {key}: {text}' for key, text in origin.items()),
            verdict,
            markdown_table(findings),
            self.draw and f'![{self.title}]({picture})',
            markdown_table(self.rows),
            *self.notes,
        ]
        return '\n\n'.join(filter(None, parts)) + '\n'

    def write(self, folder: Path, name: str, command: str) -> list[Path]:
        """Write ``name.md``, ``name.csv`` and the picture, ``name.png``.

        Args:
            folder (Path): The folder, made if need be.
            name (str): Name of the files.
            command (str): What made the result.

        Returns:
            list[Path]: The files.
        """
        head = self.origin(command)
        text = io.StringIO()
        text.writelines(f'# {key}: {value}\n' for key, value in head.items())
        rows = self.details or self.rows
        writer = csv.DictWriter(text, rows[0], lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)

        contents = {
            '.md': self.markdown(command, f'{name}.png').encode(),
            '.csv': text.getvalue().encode(),
        }
        if self.draw:
            contents['.png'] = self._picture(head)
        paths = [folder / f'{name}{suffix}' for suffix in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            write(path, content)
        return paths

    def _picture(self, head: dict[str, str]) -> bytes:
        figure = Figure(figsize=(12, 6), layout='constrained')
        self.draw(figure)
        figure.supxlabel(head['Machine'], fontsize=8, color='gray')
        image = io.BytesIO()
        description = '\n'.join(f'{k}: {v}' for k, v in head.items())
        figure.savefig(image, dpi=120, metadata={'Description': description})
        return image.getvalue()


def _version(package: str) -> str:
    try:
        return f'{package} {version(package)}'
    except PackageNotFoundError:
        return ''
