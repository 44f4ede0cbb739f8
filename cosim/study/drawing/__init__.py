"""A topology drawn: as SVG, and as text for graphviz."""
