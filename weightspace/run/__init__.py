"""Everything with side effects: training, evaluation, reports, and operators applied to files."""

from ._headline import headline as headline
from ._tables import percent as percent
from ._tables import tables as tables
from .apply import Applied as Applied
from .apply import apply as apply
from .barriers import write_barriers as write_barriers
from .config import Run as Run
from .config import from_yaml as from_yaml
from .config import parse_run as parse_run
from .config import to_yaml as to_yaml
from .evaluate import evaluate as evaluate
from .finetune import FinetuneConfig as FinetuneConfig
from .finetune import Finetuned as Finetuned
from .finetune import finetune_folder as finetune_folder
from .operator import pretrained_names as pretrained_names
from .report import report as report
from .train import train as train
