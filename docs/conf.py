import mmvovnet

project = 'mmvovnet'
author = 'The mmvovnet developers'
release = mmvovnet.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
    'sphinx_copybutton',
]
exclude_patterns = ['_build', 'paper']  # which pages include
html_theme = 'furo'
html_title = 'mmvovnet'
myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 3
autodoc_typehints = 'none'
autodoc_member_order = 'bysource'
napoleon_google_docstring = True
napoleon_numpy_docstring = False
