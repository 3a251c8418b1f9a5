"""The drawing of figures: pages, panels, lines, series, and the papers' values over them."""
