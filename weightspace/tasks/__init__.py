"""Tasks as pure functions: objectives, controls and metrics of amortized optimization."""

from .amortize import DEFAULT_L1 as DEFAULT_L1
from .amortize import Forward as Forward
from .amortize import Objective as Objective
from .amortize import ObjectiveName as ObjectiveName
from .amortize import check_l1 as check_l1
from .amortize import cross_entropy as cross_entropy
from .amortize import divergence as divergence
from .amortize import l1_norm as l1_norm
from .amortize import objective as objective
from .bootstrap import Estimate as Estimate
from .bootstrap import mean_interval as mean_interval
from .bootstrap import pair_interval as pair_interval
from .bootstrap import resample as resample
from .controls import constant_output as constant_output
from .controls import prune_magnitude as prune_magnitude
from .controls import refit_last_layer as refit_last_layer
from .metrics import Scores as Scores
from .metrics import agreement_counts as agreement_counts
from .metrics import concatenate as concatenate
from .metrics import dependence_pairs as dependence_pairs
from .metrics import fraction_below as fraction_below
from .metrics import num_networks as num_networks
from .metrics import objective_values as objective_values
from .metrics import score as score
from .metrics import select as select
from .orbit import orbit_minimal_l1 as orbit_minimal_l1
