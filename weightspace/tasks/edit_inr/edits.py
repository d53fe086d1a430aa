"""Edits of images: what an edited INR is to show."""

import difflib
from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..._errors import ConfigError
from ..._factory import load_factory

Images = Float[Tensor, "b c h w"]
"""Intensities in [0, 1]; gray images have one channel."""

Edit = Callable[[Images], Images]


def dilate(images: Images) -> Images:
    """The largest of the 3x3 pixels around each, without those beyond the border.

    Source: Zhou et al. 2023, arXiv:2302.14040, section 4.3.
    """
    return F.max_pool2d(images, 3, stride=1, padding=1)


def erode(images: Images) -> Images:
    """The smallest of the 3x3 pixels around each, without those beyond the border."""
    return -F.max_pool2d(-images, 3, stride=1, padding=1)


def contrast(images: Images) -> Images:
    """Twice the distance of every pixel from the image's mean, cut to [0, 1]."""
    mean = images.mean((-3, -2, -1), keepdim=True)
    return (mean + 2 * (images - mean)).clamp(0, 1)


EDITS: dict[str, Edit] = {"dilate": dilate, "erode": erode, "contrast": contrast}
"""Edits by name."""


def edit_called(name: str) -> Edit:
    """The edit of that name, or the function ``package.module:function`` of somebody else.

    Raises:
        ConfigError: if there is none.
    """
    if name in EDITS:
        return EDITS[name]
    choose = f"Choose one of {', '.join(EDITS)}, or write package.module:function."
    if ":" not in name:
        close = difflib.get_close_matches(name, EDITS, n=1)
        raise ConfigError(f"unknown edit {name!r}. {f'Did you mean {close[0]!r}? ' if close else ''}{choose}")
    try:
        return load_factory(name, "--task.edit")
    except ConfigError as error:
        raise ConfigError(f"the edit {name!r} cannot be imported, or has no function of this name: {error}") from error


def edited(name: str, images: Images) -> Images:
    """The images, edited.

    Raises:
        ConfigError: if the edit is unknown, or returns other shapes or numbers that are not finite.
    """
    found = edit_called(name)(images)
    if not isinstance(found, Tensor) or found.shape != images.shape or not bool(found.isfinite().all()):
        got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ConfigError(
            f"the edit {name!r} returned {got} for images {list(images.shape)}. Return finite intensities of the same "
            "shape: [images, channels, rows, columns]."
        )
    return found.to(images.dtype)
