"""The figure of the distances between the masks of all epochs."""

import numpy as np
import pytest

from lth_ray.record.figures.mask_distances import Distances, mask_distances_figure

ROWS = [[], [0.4], [0.6, 0.2], [0.7, 0.3, 0.1]]


def test_a_panel_shows_the_whole_matrix_and_where_masks_were_drawn() -> None:
    halved = [[value / 2 for value in row] for row in ROWS]
    found = Distances("p50", (0.0, 1.0, 2.0, 3.0), (ROWS, halved), (3.0, 2.0))
    figure = mask_distances_figure([found], "a study", "of something")
    assert figure is not None
    panel = figure.axes[0]
    (image,) = panel.images
    shown = np.asarray(image.get_array())
    assert shown[3, 1] == shown[1, 3] == pytest.approx(0.3 * 0.75)
    assert shown.diagonal().tolist() == [0.0] * 4
    assert sorted({line.get_xdata()[0] for line in panel.lines if line.get_xdata()[0] == line.get_xdata()[1]}) == [2, 3]
    assert panel.get_title() == "p50"
    assert "n = 2 seeds" in figure.texts[-1].get_text()


def test_where_one_seed_has_ended_nothing_is_shown() -> None:
    found = Distances("", (0.0, 1.0, 2.0, 3.0), (ROWS, ROWS[:3]), (3.0, 2.0))
    means = np.array(found.means)
    assert np.isnan(means[3, :3]).all()
    assert means[2, 0] == 0.6
    assert mask_distances_figure([]) is None
    assert mask_distances_figure([Distances("", (0.0,), ([[]],), ())]) is None
