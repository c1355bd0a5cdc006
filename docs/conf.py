import os
import re
from pathlib import Path

import mmvovnet

project = 'mmvovnet'
author = 'The mmvovnet developers'
copyright = '2026, the mmvovnet developers'
release = mmvovnet.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
    'sphinxext.opengraph',
]
exclude_patterns = ['_build', 'paper']  # which pages include
html_theme = 'furo'
html_title = f'mmvovnet {release}'
html_static_path = ['_static']
html_css_files = ['custom.css']
html_show_sphinx = False
copybutton_prompt_text = r'>>> |\.\.\. |\$ '
copybutton_prompt_is_regexp = True
# The card that a link to a page shows elsewhere; it needs the site's address.
ogp_site_name = 'mmvovnet'
ogp_site_url = os.environ.get('READTHEDOCS_CANONICAL_URL', '')
ogp_social_cards = {'line_color': '#1f77b4', 'site_url': ''}
myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 3
autodoc_member_order = 'bysource'
napoleon_google_docstring = True
napoleon_numpy_docstring = False


CONFIGS = Path(__file__).parents[1] / 'configs'
ZOO = Path(__file__).parent / '_zoo'


def write_zoo(app):
    """Make a page of the README.md of each folder of configs."""
    ZOO.mkdir(exist_ok=True)
    for path in CONFIGS.glob('*/README.md'):

        def moved(link, folder=path.parent):
            return f']({os.path.relpath(folder / link[1], ZOO)}'

        text = re.sub(r'\]\((?!http)([^)]+)', moved, path.read_text())
        page = ZOO / f'{path.parent.name}.md'
        page.write_text(f'---\norphan: true\n---\n\n{text}')


def link_zoo(app, name, source):
    """Let links to these READMEs lead to their pages."""
    source[0] = re.sub(
        r'\]\(\.\./configs/(\w+)/README\.md', r'](_zoo/\1.md', source[0]
    )


def setup(app):
    app.connect('builder-inited', write_zoo)
    app.connect('source-read', link_zoo)
