"""Small CNNs with hyper-parameters of their own: the columns of all images once, then group after group."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ._cells import columns
from ._cnn_config import CNNZooConfig
from ._hyper import Hyper
from ._images import Images
from ._make_runs import TRAIN_SAMPLE, AbstractRunsMaker
from ._pool import Advance
from ._train import Trained, training_images
from ._train_cnns import measure_cnns, train_cnns


@final
class CNNMaker(AbstractRunsMaker[CNNZooConfig]):
    """Runs of a :class:`CNNZooConfig`."""

    # Short tasks: a group on all images takes minutes, and a core without one waits.
    most_at_once = 4

    def __init__(self, config: CNNZooConfig, images: Images) -> None:
        super().__init__(config, images)
        side = config.target.side
        # For 50,000 images of 32x32 half a gigabyte; gathered anew at every step they would cost a tenth of it.
        self._train, self._val, self._test = (columns(x, side) for x in (images.train_x, images.val_x, images.test_x))

    def _train_and_measure(self, group: Sequence[Hyper], advance: Advance) -> tuple[Trained, Tensor]:
        config, images = self._config, self._images
        trained = train_cnns(
            group,
            config.target,
            self._train,
            images.train_y,
            batch_size=config.batch_size,
            checkpoints=config.checkpoints,
            advance=advance,
        )
        measured = []
        for hyper, weights in zip(group, trained.weights, strict=True):
            own = torch.from_numpy(training_images(hyper, len(self._train))[:TRAIN_SAMPLE])
            parts = (
                (self._train.index_select(0, own), images.train_y.index_select(0, own)),
                (self._val, images.val_y),
                (self._test, images.test_y),
            )
            measured.append(torch.cat([measure_cnns(weights, config.target, x, y) for x, y in parts], dim=1))
        return trained, torch.stack(measured)
