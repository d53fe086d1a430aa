"""Everything with side effects: training, evaluation, reports, and metanetworks applied to files."""

from .config import EvaluateConfig as EvaluateConfig
from .config import Run as Run
from .config import TrainConfig as TrainConfig
from .config import ZooRef as ZooRef
from .config import from_yaml as from_yaml
from .config import parse_run as parse_run
from .config import to_yaml as to_yaml
from .evaluate import evaluate as evaluate
from .models import pretrained_names as pretrained_names
from .report import headline as headline
from .report import report as report
from .report import tables as tables
from .train import train as train
from .verbs.apply import Applied as Applied
from .verbs.apply import apply as apply
from .verbs.barriers import write_barriers as write_barriers
from .verbs.finetune import FinetuneConfig as FinetuneConfig
from .verbs.finetune import Finetuned as Finetuned
from .verbs.finetune import finetune_folder as finetune_folder
from .verbs.read_networks import read_networks as read_networks
from .verbs.read_networks import reads as reads
