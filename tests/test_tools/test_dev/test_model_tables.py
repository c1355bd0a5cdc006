import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
spec = importlib.util.spec_from_file_location(
    'model_tables', ROOT / 'tools' / 'dev' / 'model_tables.py'
)
model_tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model_tables)


def test_the_pages_have_the_tables_of_today():
    tables = model_tables.tables()
    for page in model_tables.PAGES:
        text = page.read_text()
        assert model_tables.render(text, tables, page.parent) == text, (
            f'run python tools/dev/model_tables.py: {page} has old tables'
        )


def test_every_folder_is_in_the_zoo():
    zoo = (ROOT / 'docs' / 'zoo.md').read_text()
    for path in model_tables.METAFILES:
        assert zoo.count(f'](../configs/{path.parent.name}/README.md)') == 1


def test_a_method_has_its_span():
    table = model_tables.tables()['methods']
    assert '| 30 to 78 | 160 to 366 | box AP 37.7 to 45.2 |' in table


def test_render_replaces_a_table_alone():
    page = 'a\n<!-- table: x -->\n\nold\n\n<!-- end -->\nb\n'
    new = model_tables.render(page, {'x': '| new |'})
    assert new == page.replace('old', '| new |')
    assert model_tables.render(new, {'x': '| new |'}) == new


@pytest.mark.parametrize('page', ['docs/zoo.md', 'configs/fcos/README.md'])
def test_configs_are_linked_from_where_the_page_is(page):
    text = (ROOT / page).read_text()
    links = re.findall(r'\]\(([^:\s]+\.py|\.\.\S+README\.md)\)', text)
    assert len(links) >= 7
    assert all((ROOT / page).parent.joinpath(link).exists() for link in links)


def test_a_cited_result_is_marked_and_has_its_source():
    results = [
        result
        for path in model_tables.METAFILES
        for model in model_tables.models(path)
        for result in model.get('Results', [])
    ]
    assert results
    for result in results:
        cited = 'Source' in result
        assert not cited or result['Source'].startswith('https://')
        assert all(('(cited)' in k) == cited for k in result['Metrics'])


def test_what_a_metafile_does_not_say_stays_empty():
    meta = {'Epochs': 12, 'Training Data': 'COCO'}
    model = {'Name': 'x', 'Config': 'configs/x/x.py', 'Metadata': meta}
    table = model_tables.zoo([model])
    assert table.splitlines()[-1] == '| [`x`](configs/x/x.py) |  |  | 12 |'


def test_numbers_are_aligned_on_the_right():
    text = model_tables.table_of(
        ['config', 'parameters', 'AP'],
        [['`a`', '3.01 M', '37.7'], ['`b`', '21.58 M', '']],
    )
    assert text.splitlines()[1] == '| --- | --: | --: |'
