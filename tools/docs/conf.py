# SPDX-License-Identifier: GPL-2.0-only
"""How Sphinx reads Documentation/; "htmldocs" runs it."""
import os

project = "linux-siov"
extensions = ["kerneldoc", "kernel_abi", "kfigure", "automarkup"]
kerneldoc_srctree = os.environ["srctree"]
kerneldoc_bin = kerneldoc_srctree + "/scripts/kernel-doc"
primary_domain = "c"
highlight_language = "none"
exclude_patterns = ["output"]
html_theme = "alabaster"
# A line of code has up to 100 columns.
html_theme_options = {"page_width": "1180px", "sidebar_width": "260px", "code_font_size": "0.78em",
                      "description": "PASID-backed virtual devices on iommufd"}
html_sidebars = {"**": ["about.html", "navigation.html"]}
html_copy_source = False
