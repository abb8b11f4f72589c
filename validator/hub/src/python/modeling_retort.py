"""The network for transformers: AutoModelForImageClassification.from_pretrained(..., trust_remote_code=True).

Written by the validator. `pixel_values` are images with pixels from 0 to 255; they are scaled here.
"""

import torch.nn.functional as F
from transformers import PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

from .configuration_retort import RetortConfig
from .retort_network import PLAN, build, normalise, run


class RetortForImageClassification(PreTrainedModel):
    config_class = RetortConfig
    main_input_name = "pixel_values"
    # PyTorch's counters of batches, which no inference reads and no canonical file has.
    _keys_to_ignore_on_load_missing = [r"num_batches_tracked$"]

    def __init__(self, config):
        super().__init__(config)
        build(self, PLAN)
        self.post_init()

    def forward(self, pixel_values, labels=None, **_):
        logits = run(self, PLAN, normalise(pixel_values).to(self.dtype))
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return ImageClassifierOutput(loss=loss, logits=logits)
