import csv

import pytest
from paper.report import Finding, Result
from PIL import Image


def result(*holds, **kwargs):
    findings = [Finding(f'part {h}', '2', '1', h) for h in holds]
    rows = [{'network': 'V-39', 'ms': '1.0 ± 0.1'}]
    return Result(
        'Title',
        findings,
        rows,
        lambda figure: figure.text(0, 0, 'x'),
        **kwargs,
    )


@pytest.mark.parametrize(
    ('holds', 'verdict'),
    [
        ([True, True], 'holds'),
        ([True, None], 'inconclusive'),
        ([True, None, False], 'fails'),
    ],
)
def test_a_verdict_is_that_of_the_worst_part(holds, verdict):
    assert result(*holds).verdict == verdict


def test_parts_that_hold_are_counted_where_some_do_not():
    text = result(True, False, True).markdown('x', 'x.png')
    assert 'Title: fails.** Of its 3 parts, 2 hold.' in text
    assert 'Of its' not in result(True, True).markdown('x', 'x.png')


def test_every_file_says_where_it_comes_from(tmp_path):
    details = [{'layer': 'a', 'cost': 1}, {'layer': 'b', 'cost': 2}]
    found = result(True, seeds=[0, 7], notes=['A note.'], details=details)
    paths = found.write(tmp_path / 'out', 'name', 'python tools/paper.py x')
    assert [path.name for path in paths] == ['name.md', 'name.csv', 'name.png']
    markdown, rows, picture = paths
    description = Image.open(picture).text['Description']
    for text in (markdown.read_text(), rows.read_text(), description):
        assert 'Seeds: 0, 7' in text
        assert 'python tools/paper.py x' in text
        assert 'torch ' in text and 'mmvovnet ' in text
    assert '![Title](name.png)' in markdown.read_text()
    assert markdown.read_text().endswith('A note.\n')
    with open(rows, newline='') as file:
        lines = [line for line in file if not line.startswith('#')]
    assert list(csv.DictReader(lines)) == [
        {'layer': 'a', 'cost': '1'},
        {'layer': 'b', 'cost': '2'},
    ]


def test_without_details_the_csv_has_the_table(tmp_path):
    _, path, _ = result(True).write(tmp_path, 'name', 'x')
    assert 'network,ms\nV-39,1.0 ± 0.1\n' in path.read_text()
