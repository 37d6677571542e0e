"""What the HTML report shows, section by section, as plain data for its templates.

Texts are raw here: the template engine makes every one of them harmless as it is written.
"""
