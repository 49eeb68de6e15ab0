# Of transformers' base class of all models, what the engine uses.
from typing import Any

from torch import nn

class PreTrainedModel(nn.Module):
    config: Any
