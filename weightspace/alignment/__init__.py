"""Networks from different trainings brought together: alignment with a proof, merging, and the barrier between them."""

from ._activations import match_activations as match_activations
from ._align import Alignment as Alignment
from ._align import align as align
from ._barrier import After as After
from ._barrier import Barrier as Barrier
from ._barrier import Evaluate as Evaluate
from ._barrier import barrier as barrier
from ._barrier import between as between
from ._barrier import classification as classification
from ._features import has_features as has_features
from ._gains import gains as gains
from ._linear_assignment import linear_assignment as linear_assignment
from ._merge import Merged as Merged
from ._merge import greedy_soup as greedy_soup
from ._merge import merge as merge
from ._merge import plain_mean as plain_mean
from ._statistics import has_running_statistics as has_running_statistics
from ._statistics import reestimate as reestimate
from ._statistics import repair as repair
from ._whole import check_whole as check_whole
