import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location(
    'model_tables', ROOT / 'tools' / 'model_tables.py'
)
model_tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model_tables)


@pytest.mark.parametrize('page', model_tables.PAGES, ids=lambda p: p.name)
def test_the_pages_have_the_tables_of_today(page):
    text = page.read_text()
    assert model_tables.render(text, model_tables.tables()) == text, (
        f'run python tools/model_tables.py: {page.name} has old tables'
    )


def test_every_table_has_a_place():
    pages = ''.join(page.read_text() for page in model_tables.PAGES)
    for name in model_tables.tables():
        assert pages.count(f'<!-- table: {name} -->') == 1


def test_render_replaces_a_table_alone():
    page = 'a\n<!-- table: x -->\n\nold\n\n<!-- end -->\nb\n'
    new = model_tables.render(page, {'x': '| new |'})
    assert new == page.replace('old', '| new |')
    assert model_tables.render(new, {'x': '| new |'}) == new


def test_a_cited_result_is_marked_and_has_its_source():
    for model in model_tables.listed():
        for result in model.get('Results', []):
            assert result['Source'].startswith('https://')
            assert all('(cited)' in name for name in result['Metrics'])
