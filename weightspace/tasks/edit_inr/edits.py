"""Edits of images: what an edited INR is to show."""

import difflib
import importlib
from collections.abc import Callable
from typing import Any, cast

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ..._errors import ConfigError

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
    where, _, function = name.partition(":")
    choose = f"Choose one of {', '.join(EDITS)}, or write package.module:function."
    if not function:
        close = difflib.get_close_matches(name, EDITS, n=1)
        raise ConfigError(f"unknown edit {name!r}. {f'Did you mean {close[0]!r}? ' if close else ''}{choose}")
    try:
        found: Any = getattr(importlib.import_module(where), function, None)
    except (ImportError, TypeError, ValueError) as error:
        raise ConfigError(
            f"the edit {name!r} cannot be imported ({error}). Run the command in the folder of the module {where!r}, "
            "or put that folder into PYTHONPATH."
        ) from error
    if not callable(found):
        raise ConfigError(f"the module {where!r} has no function {function!r}. {choose}")
    return cast(Edit, found)


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
