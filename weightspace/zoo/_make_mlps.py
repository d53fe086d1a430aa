"""MLPs with hyper-parameters of their own: a group is trained and measured by batched products."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ._config import ZooConfig
from ._evaluate import evaluate
from ._flat import views
from ._hyper import Hyper
from ._make_runs import TRAIN_SAMPLE, AbstractRunsMaker
from ._pool import Advance
from ._train import Trained, train_group, training_images


@final
class MLPMaker(AbstractRunsMaker[ZooConfig]):
    """Runs of a :class:`ZooConfig`."""

    def _train_and_measure(self, group: Sequence[Hyper], advance: Advance) -> tuple[Trained, Tensor]:
        config, images = self._config, self._images
        trained = train_group(
            group,
            config.target,
            images,
            batch_size=config.batch_size,
            checkpoints=config.checkpoints,
            advance=advance,
        )
        shapes = config.target.shapes()
        params = views(trained.weights.flatten(0, 1), shapes)
        parts = []
        num_images = len(images.train_x)
        for hyper, weights in zip(group, trained.weights, strict=True):
            own = torch.from_numpy(training_images(hyper, num_images)[:TRAIN_SAMPLE])
            mine = views(weights, shapes)
            parts.append(evaluate(mine, images.train_x[own], images.train_y[own], config.target.activation))
        results = [torch.cat([part.loss for part in parts]), torch.cat([part.accuracy for part in parts])]
        for x, y in ((images.val_x, images.val_y), (images.test_x, images.test_y)):
            result = evaluate(params, x, y, config.target.activation)
            results += [result.loss, result.accuracy]
        return trained, torch.stack(results, dim=-1).unflatten(0, trained.diverged.shape)
