"""The size of a picture: TensorBoard shows images 350 pixels wide, until one is clicked."""

from matplotlib.figure import Figure

WIDTH = 3.5  # inches, of 100 pixels each
DPI = 200  # twice as sharp, for the click and for dense screens
TITLE, SMALL = 9.0, 7.5  # points


def figure(height: float) -> Figure:
    """An empty figure that can be read at the size of TensorBoard's cards."""
    return Figure(figsize=(WIDTH, height), layout="constrained")
