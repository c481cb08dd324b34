"""Figures as inline SVG, one a file; each is a pure function of plain data.

Places along the width are percentages, so that figures follow the page while their text keeps its size.
"""
