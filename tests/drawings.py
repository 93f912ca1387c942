"""What people and programs draw on pictures: each function draws one kind, at a place and of a size drawn by lot."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import ImageColor, ImageDraw, ImageFont

WIDTH, HEIGHT = 480, 360
TEXTS = "A", "B2", "20x", "50 µm", "t=5", "WT", "KO 3", "CTb", "24 h", "*"


@dataclass(frozen=True)
class Pen:
    """Draws on a transparent layer, in pixels of the picture."""

    draw: ImageDraw.ImageDraw
    fine: int
    colour: str
    rng: np.random.Generator

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def place(self, width: int, height: int) -> tuple[int, int]:
        return self.number(4, WIDTH - width - 4), self.number(4, HEIGHT - height - 4)

    def at(self, *points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * self.fine, y * self.fine) for x, y in points]

    def box(self, left: int, top: int, width: int, height: int, colour: str = "") -> None:
        corner = (left + width) * self.fine - 1, (top + height) * self.fine - 1
        self.draw.rectangle((*self.at((left, top)), corner), fill=colour or self.colour)

    def line(self, *points: tuple[float, float], width: int) -> None:
        self.draw.line(self.at(*points), fill=self.colour, width=width * self.fine)

    def filled(self, *points: tuple[float, float]) -> None:
        self.draw.polygon(self.at(*points), fill=self.colour)

    def text(self, left: int, top: int, text: str, size: int, colour: str = "") -> None:
        font = ImageFont.load_default(size * self.fine)
        self.draw.text(*self.at((left, top)), text, fill=colour or self.colour, font=font)


def bar(pen: Pen) -> None:
    length, thick = pen.number(40, 150), pen.number(3, 10)
    pen.box(*pen.place(length, thick), length, thick)


def bar_and_caption(pen: Pen) -> None:
    length, thick, size = pen.number(70, 150), pen.number(3, 8), pen.number(14, 28)
    left, top = pen.place(length, 44)
    pen.text(left + 4, top, "50 µm", size)
    pen.box(left, top + size + 6, length, thick)


def time_stamp(pen: Pen) -> None:
    size = pen.number(14, 30)
    pen.text(*pen.place(300, size), "2026-03-04 12:33", size)


def short_lettering(pen: Pen) -> None:
    size = pen.number(14, 40)
    pen.text(*pen.place(3 * size, size), str(pen.rng.choice(TEXTS)), size)


def _arrow(pen: Pen, shaft: int, head: int, width: int) -> None:
    """A tip with a shaft behind it, in any direction."""
    angle = pen.rng.uniform(0, 2 * math.pi)
    along = np.array((math.cos(angle), math.sin(angle)))
    across = np.array((-along[1], along[0]))
    tip = np.array(pen.place(80, 80)) + 40
    back = tip - head * along
    if shaft:
        pen.line(tuple(back), tuple(back - shaft * along), width=width)
    pen.filled(tuple(tip), tuple(back + 0.5 * head * across), tuple(back - 0.5 * head * across))


def arrow(pen: Pen) -> None:
    for _ in range(pen.number(1, 3)):
        _arrow(pen, pen.number(15, 50), pen.number(10, 18), pen.number(2, 5))


def arrowheads(pen: Pen) -> None:
    for _ in range(pen.number(1, 4)):
        _arrow(pen, 0, pen.number(10, 22), 0)


def _dot(pen: Pen, radius: int) -> None:
    x, y = pen.place(2 * radius, 2 * radius)
    corners = pen.at((x, y), (x + 2 * radius, y + 2 * radius))
    pen.draw.ellipse([*corners[0], *corners[1]], fill=pen.colour)


def one_or_two_dots(pen: Pen) -> None:
    radius = pen.number(4, 12)
    for _ in range(pen.number(1, 2)):
        _dot(pen, radius)


def dots(pen: Pen) -> None:
    radius = pen.number(4, 12)
    for _ in range(pen.number(3, 8)):
        _dot(pen, radius)


def crosses(pen: Pen) -> None:
    reach, width = pen.number(5, 10), pen.number(1, 3)
    for _ in range(pen.number(1, 6)):
        x, y = pen.place(2 * reach, 2 * reach)
        pen.line((x, y + reach), (x + 2 * reach, y + reach), width=width)
        pen.line((x + reach, y), (x + reach, y + 2 * reach), width=width)


def rings(pen: Pen) -> None:
    radius, width = pen.number(10, 30), pen.number(1, 3)
    for _ in range(pen.number(1, 6)):
        x, y = pen.place(2 * radius, 2 * radius)
        corners = pen.at((x, y), (x + 2 * radius, y + 2 * radius))
        pen.draw.ellipse([*corners[0], *corners[1]], outline=pen.colour, width=width * pen.fine)


def boxes(pen: Pen) -> None:
    for _ in range(pen.number(1, 3)):
        width, height, thick = pen.number(40, 120), pen.number(40, 120), pen.number(1, 4)
        corner = pen.place(width, height)
        corners = pen.at(corner, (corner[0] + width, corner[1] + height))
        pen.draw.rectangle([*corners[0], *corners[1]], outline=pen.colour, width=thick * pen.fine)


def box_of_lettering(pen: Pen) -> None:
    size = pen.number(14, 28)
    left, top = pen.place(8 * size, 2 * size)
    pen.box(left, top, 6 * size, size + 12)
    pen.text(left + 6, top + 5, "Mouse 12", size, "black")


def strip(pen: Pen) -> None:
    high = pen.number(20, 44)
    top = HEIGHT - high if pen.number(0, 1) else 0
    pen.box(0, top, WIDTH, high)
    pen.text(10, top + 2, "20 kV  x20  50 µm", high - 10, "black")


def colour_bar(pen: Pen) -> None:
    width, height = pen.number(8, 20), pen.number(100, 250)
    left, top = pen.place(width, height)
    full = np.array(ImageColor.getrgb(pen.colour))
    for row in range(height):
        shade = "#{:02x}{:02x}{:02x}".format(*(full * (height - row) // height))
        pen.box(left, top + row, width, 1, shade)


def border(pen: Pen) -> None:
    thick = pen.number(2, 16)
    for box in ((0, 0, WIDTH, thick), (0, HEIGHT - thick, WIDTH, thick)):
        pen.box(*box)
    for left in (0, WIDTH - thick):
        pen.box(left, 0, thick, HEIGHT)


Mark = Callable[[Pen], None]

KINDS: tuple[Mark, ...] = (
    bar, bar_and_caption, time_stamp, short_lettering, arrow, arrowheads, one_or_two_dots, dots, crosses, rings, boxes,
    box_of_lettering, strip, colour_bar, border,
)  # fmt: skip
