import os

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
    'sphinx_design',
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
autodoc_typehints = 'none'
autodoc_member_order = 'bysource'
napoleon_google_docstring = True
napoleon_numpy_docstring = False
